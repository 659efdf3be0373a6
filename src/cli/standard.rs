//! Standard output and standard error, which may be closed at the other end.

use std::fmt::Display;
use std::io::{self, Write};

use anyhow::Context;

use super::exit::{Exit, Failure, OrExit, Outcome, for_people};
use super::text::lines;

/// Says something to the user on standard error. Part of it may come from others, and must not control the terminal; what the
/// library says is told in the words of the command line. A closed standard error must not end the program, as it would with `eprintln!`.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(io::stderr(), "msgstream: {}", lines(&for_people(&text.to_string()), false).join("\n"));
}

/// Prints to standard output, all of it at once. A reader that has gone, such as `head`, is no failure.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    is_read(bytes).map(|_| ())
}

/// Prints to standard output as [`print`] does. False if its reader has gone, for whom nothing more has to be made.
pub(crate) fn is_read(bytes: &[u8]) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    let outcome = out.write_all(bytes).and_then(|()| out.flush());
    let is_read = outcome.is_ok();
    printed(outcome).map(|_| is_read)
}

/// The outcome of a write to standard output. A reader that has gone is no failure; a full disk is.
pub(crate) fn printed(outcome: io::Result<()>) -> Outcome {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output").or_exit(Exit::Io),
        Ok(()) | Err(_) => Ok(Exit::Fine),
    }
}
