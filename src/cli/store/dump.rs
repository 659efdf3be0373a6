//! `msgstream store dump`.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::broker::core::{Restored, SavedEnd, SavedRun, SavedStream};
use crate::broker::store::Look;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::standard::is_read;
use crate::wire::ids::StreamName;
use crate::wire::{Event, Frame, Position, StreamState};

use super::exit_codes::EXIT_CODES;
use super::place::{Place, failure, now};

/// Print all streams of a store, each as a JSON object on a line of its own
///
/// Each has "stream", "state", "position", "bytes", and "messages", the number of messages that are kept; "header" and "header_time" if
/// there is a header, and "last", the message that a stream ended with. Times are in seconds since 1970. Sessions are not printed: who
/// knows the name of one can take it over.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
pub(super) struct Args {
    /// Print the messages that are kept as well, as "window"
    #[arg(long)]
    messages: bool,
    #[command(flatten)]
    place: Place,
}

/// What is printed at once, in bytes.
const PIECE: usize = 64 << 10;

pub(super) fn run(args: &Args) -> Outcome {
    let look = Look::open(&args.place.path).map_err(failure)?;
    let began = look.read_clock(now()).map_err(failure)?.began.as_secs();
    let (mut text, mut outcome) = (Vec::new(), Ok(true));
    look.load(&mut |restored| {
        // Once its reader has gone, nothing more has to be made.
        let Restored::Stream { name, stream, runs } = restored else { return };
        if !matches!(outcome, Ok(true)) {
            return;
        }
        let line = Line::of(&name, &stream, runs.as_deref().unwrap_or_default(), began, args.messages);
        outcome = written(&line, &mut text).and_then(|()| if text.len() < PIECE { Ok(true) } else { is_read(&std::mem::take(&mut text)) });
    })
    .map_err(failure)?;
    if outcome? {
        is_read(&text)?;
    }
    Ok(Exit::Fine)
}

fn written(line: &Line<'_>, text: &mut Vec<u8>) -> Result<(), Failure> {
    serde_json::to_writer(&mut *text, line).map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
    text.push(b'\n');
    Ok(())
}

#[derive(Serialize)]
struct Line<'a> {
    stream: &'a str,
    state: &'static str,
    position: Position,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    header_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Box<RawValue>>,
    messages: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<Vec<Message>>,
}

/// A message, and when it was delivered, or one that came together with it.
#[derive(Serialize)]
struct Message {
    time: u64,
    message: Box<RawValue>,
}

impl<'a> Line<'a> {
    fn of(name: &'a StreamName, stream: &SavedStream, runs: &[SavedRun], began: u64, with_messages: bool) -> Self {
        let SavedStream { position, bytes, since: _, header_at, header, is_old: _, ended } = stream;
        let state = match (ended, header) {
            (Some(_), _) => StreamState::Ended,
            (None, Some(_)) => StreamState::Running,
            (None, None) => StreamState::Waiting,
        };
        let last = ended.as_ref().and_then(|SavedEnd { last, .. }| last.as_ref());
        let one = |frame: Option<&Frame>| frame.and_then(|frame| contents(frame).pop());
        let window = || {
            let messages = |(frame, at): &SavedRun| {
                let time = began + u64::from(*at);
                contents(frame).into_iter().map(move |message| Message { time, message })
            };
            runs.iter().flat_map(messages).collect()
        };
        Self {
            stream: name.as_str(),
            state: state.as_str(),
            position: *position,
            bytes: *bytes,
            header_time: header.as_ref().map(|_| began + u64::from(*header_at)),
            header: one(header.as_ref()),
            last: one(last),
            messages: runs.iter().map(|(frame, _)| u64::from(frame.messages())).sum(),
            window: with_messages.then(window),
        }
    }
}

/// The content of each message, as JSON text in the words of its author.
fn contents(frame: &Frame) -> Vec<Box<RawValue>> {
    let mut found = Vec::new();
    frame.encoder().read_back(frame.bytes(), &mut |event| {
        if let Event::Put { message, .. } | Event::Close { message: Some(message), .. } = event {
            let text = String::from_utf8_lossy(message).into_owned();
            found.extend(RawValue::from_string(text));
        }
    });
    found
}
