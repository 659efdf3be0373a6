//! `msgstream delete`: forgets a stream.

use super::broker::block_on;
use super::exit::{Exit, Outcome};
use super::stream_args::StreamArgs;

/// Forget a stream and its header; its listeners are told that it has ended
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    at: StreamArgs,
}

const AFTER_HELP: &str = "\
Exit codes:
   0  the stream is forgotten, or did not exist
  64  the command line cannot be understood
  69  the broker cannot be reached, or the connection was lost
  77  the broker refused it
  78  the configuration of clients cannot be used";

pub(crate) fn run(args: Args) -> Outcome {
    block_on(async move {
        let remote = args.at.connect().await?;
        remote.confirmed().delete(&args.at.stream).await?;
        Ok(Exit::Fine)
    })
}
