//! `msgstream put`: publishes one message, or the lines of standard input.

use crate::client::{Options, RemoteStream};
use crate::job::content::Content;
use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::broker::{Broker, block_on};
use super::exit::{Exit, Failure, OrExit, Outcome};
use super::input;
use super::standard::say;

/// Send a message to the listeners of a stream
///
/// Without MESSAGE, every line of standard input is a message, sent as soon as it is read, over one connection. A line that is not
/// JSON is reported with its number and left out; the others are sent. Blank lines are ignored; with --text they are empty strings.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER_HELP, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The stream
    stream: String,
    /// The message, as JSON [default: the lines of standard input]
    #[arg(allow_negative_numbers = true)]
    message: Option<String>,
    /// Send the message, or each line, as a JSON string
    #[arg(long)]
    text: bool,
    /// Make this JSON the stream's header in the same step
    #[arg(long, value_name = "JSON", allow_negative_numbers = true, requires = "message")]
    header: Option<String>,
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
  65  some of it is not JSON: the rest was sent
  69  the broker cannot be reached, or the connection was lost
  74  standard input cannot be read
  77  the broker refused it";

pub(crate) fn run(args: Args) -> Outcome {
    block_on(async move {
        let Some(message) = args.message else {
            let remote = args.broker.connect(Options::default()).await?;
            return lines(&remote, &args.stream, args.text).await;
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

/// Sends every line of standard input.
async fn lines(remote: &RemoteStream, stream: &str, text: bool) -> Outcome {
    input::ask("one message a line, ended by Ctrl-D");
    let mut input = BufReader::with_capacity(256 << 10, tokio::io::stdin());
    let (mut line, mut number, mut bad) = (Vec::new(), 0_u64, 0_u64);
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line).await.context("cannot read standard input").or_exit(Exit::Io)? == 0 {
            break;
        }
        number += 1;
        match content(&line, text) {
            Ok(Some(message)) => remote.put(stream, &message).await?,
            Ok(None) => {}
            Err(why) => {
                bad += 1;
                say(format_args!("line {number} is not JSON: {why}"));
            }
        }
    }
    remote.clone().disconnect().await?;
    if bad > 0 {
        let cure = if text { "" } else { "; use --text to send lines as strings" };
        return Err(Failure::new(Exit::Data, format!("{bad} of {number} lines were not sent{cure}")));
    }
    Ok(Exit::Fine)
}

/// The message in a line; none in a blank one.
fn content(line: &[u8], text: bool) -> Result<Option<Content>, String> {
    let line = std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
    let line = line.trim_end_matches(['\r', '\n']);
    if !text && line.trim().is_empty() {
        return Ok(None);
    }
    input::content(line, text).map(Some).map_err(|error| input::why(&error))
}
