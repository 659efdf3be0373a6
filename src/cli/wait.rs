//! `msgstream wait`: sleeps until a job has ended, and says how by its exit code.

use crate::client::{Backoff, Event, Options, RemoteStream};
use crate::job::content::Content;
use crate::job::monitor::Message;
use crate::wire::units::Span;
use tokio::time::timeout_at;

use super::broker::{Broker, block_on};
use super::exit::{Exit, Failure, Outcome};

/// Wait until a job has ended
///
/// A job has ended when its stream has, or with a monitor.Complete, monitor.Abort or monitor.Error, as a message or as the header.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER_HELP, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The stream
    stream: String,
    /// Wait no longer than this, such as 10s or 5m
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,
    /// Connect again when the connection is lost. If a job ends meanwhile and the broker forgets it, its end is never seen
    #[arg(long)]
    reconnect: bool,
    #[command(flatten)]
    broker: Broker,
}

const AFTER_HELP: &str = "\
Examples:
  msgstream wait job-1 && plot results
  msgstream wait job-1 --timeout 2h || echo \"not well: $?\"

Exit codes:
   0  the job is complete, or its stream has ended without a word on how
   1  the job has failed (monitor.Error)
   2  the job was aborted (monitor.Abort)
  64  the command line cannot be understood
  69  the broker cannot be reached, the connection was lost, or the stream was cut off: the job may go on
  77  the broker refused it
 124  the time was up: the job goes on";

pub(crate) fn run(args: Args) -> Outcome {
    block_on(async move {
        let reconnect = args.reconnect.then(Backoff::default);
        let (remote, end) = args.broker.connect_within(args.timeout, Options { reconnect, ..Options::default() }).await?;
        let waiting = wait(&remote, &args.stream);
        match args.timeout.zip(end) {
            Some((time, end)) => timeout_at(end, waiting)
                .await
                .unwrap_or_else(|_| Err(Failure::new(Exit::Timeout, format!("{:?} has not ended after {time}", args.stream)))),
            None => waiting.await,
        }
    })
}

async fn wait(remote: &RemoteStream, stream: &str) -> Outcome {
    let mut listener = remote.listen(stream).await?;
    while let Some(event) = listener.next().await {
        match event {
            Event::Header(content) | Event::Message(content) => {
                if let Some(outcome) = outcome(stream, &content) {
                    return outcome;
                }
            }
            Event::Ended { message } => return message.and_then(|content| outcome(stream, &content)).unwrap_or(Ok(Exit::Fine)),
            Event::CutOff(reason) => {
                let exit = if reason.code == "limit" { Exit::Refused } else { Exit::Unavailable };
                return Err(Failure::new(exit, format!("{stream:?} was cut off: {reason}; the job may go on")));
            }
            Event::Lost { reason } => {
                let reason = format!("the connection to the broker was lost: {reason}; the job may go on");
                return Err(Failure::new(Exit::Unavailable, reason));
            }
            Event::Reconnected { .. } => {}
        }
    }
    Ok(Exit::Fine)
}

/// How the job ended, if this content says so.
fn outcome(stream: &str, content: &Content) -> Option<Outcome> {
    match Message::of(content)? {
        Message::Complete(_) => Some(Ok(Exit::Fine)),
        Message::Abort(abort) => {
            let reason = abort.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            Some(Err(Failure::new(Exit::Aborted, format!("{stream:?} was aborted{reason}"))))
        }
        Message::Error(error) => Some(Err(Failure::new(Exit::Failed, format!("{stream:?} has failed: {}", error.reason)))),
        _ => None,
    }
}
