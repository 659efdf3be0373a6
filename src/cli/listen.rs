//! `msgstream listen`: shows what streams say, as bars and lines for people or as wire lines for programs.

use std::future::{Future, poll_fn};
use std::io::{self, IsTerminal};
use std::pin::pin;
use std::task::Poll;

use crate::client::{Backoff, Event, Listener, Options};
use crate::wire::ids::StreamName;
use crate::wire::units::Span;
use tokio::time::timeout_at;

use super::broker::{Broker, block_on};
use super::exit::{Exit, Failure, OrExit, Outcome};
use super::standard::{printed, say};
use super::view::View;
use super::wire_lines::WireLines;

/// Show the messages of streams until all of them have ended
///
/// On a terminal: a progress bar for each stream whose messages tell its progress, and everything else as lines above them. Into a
/// pipe: the lines of the protocol, untouched, one a message, each written at once; those of one stream are in order.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER_HELP, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The streams
    #[arg(required = true, value_name = "STREAM")]
    streams: Vec<String>,
    /// Print the lines of the protocol, as into a pipe
    #[arg(long)]
    json: bool,
    /// Stop after this many messages, headers included
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = number)]
    count: Option<u64>,
    /// Stop after this time, such as 10s or 5m
    #[arg(long, value_name = "TIME")]
    timeout: Option<Span>,
    /// Connect again when the connection is lost; a possible gap is reported on standard error
    #[arg(long)]
    reconnect: bool,
    #[command(flatten)]
    broker: Broker,
}

const AFTER_HELP: &str = "\
Examples:
  msgstream listen job-1 job-2
  msgstream listen job-1 --json | jq .message
  msgstream listen job-1 --count 100 --timeout 1m > first-hundred

Exit codes:
   0  all streams have ended, or --count is reached
  64  the command line cannot be understood
  69  the broker cannot be reached, the connection was lost, or a stream was cut off
  74  what came cannot be printed
  77  the broker refused it
 124  the time was up";

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "write a whole number, such as 100".to_owned())
}

pub(crate) fn run(args: Args) -> Outcome {
    let bars = !args.json && io::stdout().is_terminal();
    block_on(async move {
        let reconnect = args.reconnect.then(Backoff::default);
        let (remote, end) = args.broker.connect_within(args.timeout, Options { reconnect, ..Options::default() }).await?;
        let mut listening = Vec::with_capacity(args.streams.len());
        for (index, name) in args.streams.iter().enumerate() {
            // Named twice, as a pattern of the shell may do: shown once.
            if args.streams.iter().take(index).any(|before| before == name) {
                continue;
            }
            let stream = StreamName::new(name).or_exit(Exit::Usage)?;
            listening.push(Some((stream, remote.listen(name).await?)));
        }
        let mut output = if bars { Output::View(View::new(listening.len() > 1)) } else { Output::Lines(WireLines::new()) };
        let showing = show(&mut listening, &mut output, args.count);
        let outcome = match end {
            Some(end) => timeout_at(end, showing).await.unwrap_or(Ok(Exit::Timeout)),
            None => showing.await,
        };
        // Lines gathered before the time was up are shown as well.
        printed(output.flush())?;
        if let Output::View(view) = &mut output {
            view.leave();
        }
        outcome
    })
}

/// Where events go.
enum Output {
    View(View),
    Lines(WireLines),
}

impl Output {
    fn event(&mut self, stream: &StreamName, event: &Event) -> io::Result<()> {
        match self {
            Self::View(view) => view.event(stream.as_str(), event),
            Self::Lines(lines) => lines.event(stream, event),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::View(_) => Ok(()),
            Self::Lines(lines) => lines.flush(),
        }
    }
}

async fn show(listening: &mut [Option<(StreamName, Listener)>], output: &mut Output, count: Option<u64>) -> Outcome {
    let mut left = count.unwrap_or(u64::MAX);
    let mut outcome = Ok(Exit::Fine);
    let mut turn = 0;
    while left > 0 && listening.iter().any(Option::is_some) {
        let (index, event) = match next(listening, &mut turn, output).await {
            Ok(Some(next)) => next,
            Ok(None) => break,
            Err(error) => return printed(Err(error)),
        };
        let Some(Some((stream, _))) = listening.get(index) else { break };
        if matches!(event, Event::Header(_) | Event::Message(_)) {
            left -= 1;
        }
        let shown = output.event(stream, &event).and_then(|()| if left == 0 { output.flush() } else { Ok(()) });
        if let Err(error) = shown {
            return printed(Err(error));
        }
        match &event {
            Event::CutOff(reason) => {
                let exit = if reason.code == "limit" { Exit::Refused } else { Exit::Unavailable };
                outcome = Err(Failure::new(exit, format!("{stream:?} was cut off: {reason}; it may go on")));
            }
            Event::Lost { reason } => {
                outcome = Err(Failure::new(Exit::Unavailable, format!("the connection to the broker was lost: {reason}")));
            }
            Event::Reconnected { reason } if !matches!(output, Output::View(_)) => {
                say(format_args!("{stream:?}: connected again, messages may be missing here: {reason}"));
            }
            Event::Header(_) | Event::Message(_) | Event::Ended { .. } | Event::Reconnected { .. } => {}
        }
        if event.is_last()
            && let Some(ended) = listening.get_mut(index)
        {
            *ended = None;
        }
    }
    outcome
}

/// The next event of any listener, each in its turn; what was gathered is shown before there is a wait.
async fn next(
    listening: &mut [Option<(StreamName, Listener)>],
    turn: &mut usize,
    output: &mut Output,
) -> io::Result<Option<(usize, Event)>> {
    poll_fn(|cx| {
        let count = listening.len();
        for step in 0..count {
            let index = (*turn + step) % count;
            let Some(Some((_, listener))) = listening.get_mut(index) else { continue };
            if let Poll::Ready(event) = pin!(listener.next()).poll(cx) {
                *turn = index + 1;
                return Poll::Ready(Ok(event.map(|event| (index, event))));
            }
        }
        match output.flush() {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    })
    .await
}
