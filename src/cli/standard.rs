//! Standard output and standard error, which may be closed at the other end.

use std::fmt::Display;
use std::io::{self, Write};

use anyhow::Context;

use super::exit::{Exit, Failure, OrExit, Outcome};

/// Says something to the user on standard error. A reader that has gone must not end what goes on, so `eprintln!` will not do.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(io::stderr(), "msgstream: {text}");
}

/// Prints to standard output, all of it at once.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    printed(out.write_all(bytes).and_then(|()| out.flush())).map(|_| ())
}

/// What has become of a write to standard output. A reader that has gone, such as `head`, has seen enough; a full disk is a
/// failure.
pub(crate) fn printed(outcome: io::Result<()>) -> Outcome {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output").or_exit(Exit::Io),
        Ok(()) | Err(_) => Ok(Exit::Fine),
    }
}
