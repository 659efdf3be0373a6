//! `msgstream put`: publishes one message, or the lines of standard input.
//!
//! [`lines`] passes standard input on; [`input_line`] cuts it into lines, and [`backlog`] keeps those that the broker has not
//! taken yet.

mod backlog;
mod input_line;
mod lines;

use crate::client::Options;

use super::broker::{Broker, block_on};
use super::exit::{Exit, Outcome};
use super::input;

/// Send a message to the listeners of a stream
///
/// Without MESSAGE, every line of standard input is a message, sent as soon as it is read, over one connection. A line that is not
/// JSON is reported with its number and left out; the others are sent. Blank lines are ignored; with --text they are empty strings.
///
/// The program that writes to standard input never dies of the broker, nor waits for it longer than a second. When the broker is
/// away, or was not there to begin with, put says so, reads on and tries again. It keeps what the broker has not confirmed, up to
/// 20 MiB; beyond that it drops the oldest lines, and says how many and which, on standard error and in the stream, in the place of
/// the lines. Around a lost connection a line may come twice. At the end of the input put waits up to 5 s for a broker that is away.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER_HELP, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The stream
    stream: String,
    /// The message, as JSON [default: the lines of standard input]
    #[arg(allow_negative_numbers = true)]
    message: Option<String>,
    /// Send the message, or each line, as a JSON string
    ///
    /// Bytes of a line that are not UTF-8 become U+FFFD.
    #[arg(long)]
    text: bool,
    /// Make this JSON the stream's header in the same step
    #[arg(long, value_name = "JSON", allow_negative_numbers = true, requires = "message")]
    header: Option<String>,
    /// End at once when the broker is away, and let the input wait for a slow one
    #[arg(long, conflicts_with = "message")]
    strict: bool,
    #[command(flatten)]
    broker: Broker,
}

const AFTER_HELP: &str = "\
Examples:
  msgstream put job-1 '{\"k\":3,\"total\":10}'
  msgstream put job-1 --text 'half done'
  my-job | msgstream put job-1                  lines of JSON
  tail -f log | msgstream put job-1 --text

Exit codes:
   0  all was sent and has taken effect
  64  the command line cannot be understood
  65  some of it is not JSON, or too long: the rest was sent
  69  some lines were lost, or may be; a single message: the broker cannot be reached
  74  standard input cannot be read
  77  the broker refused it
  78  the configuration of clients cannot be used";

pub(crate) fn run(args: Args) -> Outcome {
    block_on(async move {
        let Some(message) = args.message else {
            return lines::put(&args.broker, &args.stream, args.text, args.strict).await;
        };
        let message = input::message(&message, args.text)?;
        let header = args.header.map(|header| input::header(&header)).transpose()?;
        let remote = args.broker.connect(Options::default()).await?;
        match header {
            Some(header) => remote.put_with_header(&args.stream, &message, &header).await?,
            None => remote.put(&args.stream, &message).await?,
        }
        remote.disconnect().await?;
        Ok(Exit::Fine)
    })
}
