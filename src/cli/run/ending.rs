//! What the listeners and the caller are told of the command's end.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::job::monitor::{Abort, Complete, Error, Message, Start};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT};
use signal_hook::low_level::signal_name;

use crate::cli::exit::{Exit, Failure, Outcome};

/// Why a command does not run.
pub(super) fn cannot_run(name: &OsStr, error: &io::Error) -> Failure {
    let status = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
    Failure::new(Exit::Status(status), format!("cannot run {name:?}: {error}"))
}

/// The last message and the outcome. `asked` is the last signal that asked the command to end.
pub(super) fn ended(status: io::Result<ExitStatus>, asked: Option<i32>) -> (Message, Outcome) {
    let status = match status {
        Ok(status) => status,
        Err(error) => {
            let reason = format!("the command is lost: {error}");
            return (Error::new(reason.clone()).into(), Err(Failure::new(Exit::Io, reason)));
        }
    };
    match (status.code(), status.signal()) {
        (Some(0), _) => (Complete::new(json!({ "exit": 0 })).into(), Ok(Exit::Fine)),
        (Some(code), _) => {
            // Many programs catch the signal and end with a status of their own. After a hang-up most of them go on.
            let last = match asked {
                Some(signal) if signal != SIGHUP || code == 128 + signal => aborted(signal, "exit", code),
                _ => failed(format!("exit status {code}"), "exit", code),
            };
            // A shell or the like that passes on how its own command ended.
            let is_interrupted = asked == Some(SIGINT) && code == 128 + SIGINT;
            // An exit status has eight bits.
            (last, Ok(if is_interrupted { Exit::Interrupted } else { Exit::Status(u8::try_from(code).unwrap_or(u8::MAX)) }))
        }
        (None, signal) => {
            let signal = signal.unwrap_or_default();
            let last = match asked {
                Some(asked) if asked == signal => aborted(signal, "signal", signal),
                _ => failed(format!("ended by {}", name(signal)), "signal", signal),
            };
            let exit = if signal == SIGINT { Exit::Interrupted } else { Exit::Status(128 + u8::try_from(signal).unwrap_or_default()) };
            (last, Ok(exit))
        }
    }
}

/// The signal by which the keyboard of a terminal of its own ended the command.
pub(super) fn interrupted(status: &ExitStatus) -> Option<i32> {
    let signal = status.signal().or(status.code().and_then(|code| code.checked_sub(128)));
    signal.filter(|signal| matches!(*signal, SIGINT | SIGQUIT))
}

/// Adds what somebody who was not there wants to know: which job it was, and its time; and how many lines the stream lacks.
pub(super) fn sign(last: &mut Message, start: Start, now: String, left_out: u64) {
    let (title, started, ended, more) = match last {
        Message::Complete(end) => (&mut end.title, &mut end.started, &mut end.ended, &mut end.more),
        Message::Abort(end) => (&mut end.title, &mut end.started, &mut end.ended, &mut end.more),
        Message::Lost(end) => (&mut end.title, &mut end.started, &mut end.ended, &mut end.more),
        Message::Error(end) => (&mut end.title, &mut end.started, &mut end.ended, &mut end.more),
        Message::Start(_) | Message::Join(_) | Message::Progress(_) | Message::Improvement(_) | Message::Log(_) => return,
    };
    (*title, *started, *ended) = (start.title, start.started, Some(now));
    if left_out > 0 {
        more.insert("left_out".to_owned(), json!(left_out));
    }
}

fn aborted(asked: i32, key: &str, value: i32) -> Message {
    let mut abort = Abort::new(if asked == SIGINT { "interrupted".to_owned() } else { name(asked) });
    abort.more.insert(key.to_owned(), json!(value));
    abort.into()
}

fn failed(reason: String, key: &str, value: i32) -> Message {
    let mut error = Error::new(reason);
    error.more.insert(key.to_owned(), json!(value));
    error.into()
}

/// A signal's name, such as SIGTERM.
fn name(signal: i32) -> String {
    signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned)
}
