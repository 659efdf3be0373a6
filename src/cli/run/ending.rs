//! What the listeners and the caller are told of the command's end.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crate::job::monitor::{Abort, Complete, Error, Message};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT};
use signal_hook::low_level::signal_name;

use crate::cli::exit::{Exit, Failure, Outcome};

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
            // An exit status has eight bits.
            (last, Ok(Exit::Status(u8::try_from(code).unwrap_or(u8::MAX))))
        }
        (None, signal) => {
            let signal = signal.unwrap_or_default();
            let last = match asked {
                Some(asked) if asked == signal => aborted(signal, "signal", signal),
                _ => failed(format!("ended by {}", name(signal)), "signal", signal),
            };
            (last, Ok(Exit::Status(128 + u8::try_from(signal).unwrap_or_default())))
        }
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
