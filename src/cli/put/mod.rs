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
/// Without MESSAGE, every line of standard input is a message. It is sent as soon as it is read, over one connection. A line that is not
/// JSON is reported with its number and skipped; the others are sent. Blank lines are ignored; with --text they are empty strings.
///
/// A broker that is away does not stop the program that writes to standard input, and delays it by at most a second. If the broker is
/// away, even at the beginning, put says so, keeps reading and tries again. It keeps up to 20 MiB of lines that the broker has not
/// confirmed; beyond that it drops the oldest. It reports how many and which lines were lost, on standard error and at their place in the
/// stream. If the broker is restarted, a line may be published twice; put says so. At the end of the input, put waits up to 5 s for a
/// broker that is away.
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
    /// Bytes that are not UTF-8 become U+FFFD.
    #[arg(long)]
    text: bool,
    /// Make this JSON the stream's header in the same step
    #[arg(long, value_name = "JSON", allow_negative_numbers = true, requires = "message")]
    header: Option<String>,
    /// Exit at once if the broker is away; if it is slow, make the input wait
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
  65  a message is not JSON or too long; the others were sent
  69  lines were or may be lost; with MESSAGE, the broker cannot be reached
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
