//! `msgstream close`: ends a stream.

use crate::client::Options;

use super::broker::{Broker, block_on};
use super::exit::{Exit, Outcome};
use super::input;

/// End a stream: its listeners are told, and its header stays for late listeners
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The stream
    stream: String,
    /// A last message, as JSON [default: none]
    #[arg(allow_negative_numbers = true)]
    message: Option<String>,
    /// Send the last message as a JSON string
    #[arg(long, requires = "message")]
    text: bool,
    #[command(flatten)]
    broker: Broker,
}

const AFTER_HELP: &str = "\
Exit codes:
   0  the stream has ended
  64  the command line cannot be understood
  65  the message is not JSON
  69  the broker cannot be reached, or the connection was lost
  77  the broker refused it
  78  the configuration of clients cannot be used";

pub(crate) fn run(args: Args) -> Outcome {
    let message = args.message.map(|message| input::message(&message, args.text)).transpose()?;
    block_on(async move {
        let remote = args.broker.connect(Options::default()).await?;
        match message {
            Some(message) => remote.confirmed().close_with(&args.stream, &message).await?,
            None => remote.confirmed().close(&args.stream).await?,
        };
        Ok(Exit::Fine)
    })
}
