//! `msgstream get`: prints a stream's header.

use crate::client::Event;

use super::broker::block_on;
use super::exit::{Exit, Failure, Outcome};
use super::standard::print;
use super::stream_args::StreamArgs;

/// Print the header of a stream, as JSON
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    at: StreamArgs,
}

const AFTER_HELP: &str = "\
Exit codes:
   0  the header was printed
   1  the stream has no header, or does not exist
  64  the command line cannot be understood
  69  the broker cannot be reached, or the connection was lost
  74  the header cannot be printed
  77  the broker refused it
  78  the configuration of clients cannot be used";

pub(crate) fn run(args: Args) -> Outcome {
    block_on(async move {
        let remote = args.at.connect().await?;
        let mut listener = remote.listen(&args.at.stream).await?;
        // The header, if there is one, has come when the state has.
        let joined = listener.joined().await;
        remote.hangup(&args.at.stream).await?;
        match listener.next().await {
            Some(Event::Header(header)) => {
                print(format!("{header}\n").as_bytes())?;
                Ok(Exit::Fine)
            }
            Some(Event::CutOff(reason)) if joined.is_none() => Err(Failure::cut_off(&format!("{:?}", args.at.stream), &reason)),
            Some(Event::Lost { reason }) if joined.is_none() => Err(Failure::lost(&reason)),
            _ => Err(Failure::new(Exit::Failed, format!("{:?} has no header", args.at.stream))),
        }
    })
}
