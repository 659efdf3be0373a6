//! `msgstream header`: stores what new listeners get first.

use crate::client::Options;

use super::broker::{Broker, block_on};
use super::exit::{Exit, Outcome};
use super::input;

/// Set the header of a stream, the first thing that new listeners get
///
/// Current listeners are not told. A stream that has ended is reopened.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The stream
    stream: String,
    /// The header, as JSON [default: all of standard input]
    #[arg(allow_negative_numbers = true)]
    message: Option<String>,
    /// Store it as a JSON string
    #[arg(long)]
    text: bool,
    #[command(flatten)]
    broker: Broker,
}

const AFTER_HELP: &str = "\
Exit codes:
   0  the header is stored
  64  the command line cannot be understood
  65  the header is not JSON
  69  the broker cannot be reached, or the connection was lost
  74  standard input cannot be read
  77  the broker refused it
  78  the configuration of clients cannot be used";

pub(crate) fn run(args: Args) -> Outcome {
    let header = match args.message {
        Some(header) => input::message(&header, args.text)?,
        None => input::read_message("the header", args.text)?,
    };
    block_on(async move {
        let remote = args.broker.connect(Options::default()).await?;
        remote.confirmed().header(&args.stream, &header).await?;
        Ok(Exit::Fine)
    })
}
