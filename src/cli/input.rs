//! Messages from the command line and from standard input.

use std::fmt::Display;
use std::io::{IsTerminal, Read};

use crate::job::content::Content;
use anyhow::Context;
use serde_json::value::RawValue;

use super::exit::{Exit, Failure, OrExit};
use super::standard::say;

/// One message, from an argument.
pub(crate) fn message(given: &str, text: bool) -> Result<Content, Failure> {
    content(given.trim_end_matches(['\r', '\n']), text).map_err(|why| not_json("the message", &why))
}

/// One message, from all of standard input; asks for `what` on a terminal.
pub(crate) fn read_message(what: &str, text: bool) -> Result<Content, Failure> {
    ask(format_args!("{what}, ended by Ctrl-D"));
    let mut all = Vec::new();
    std::io::stdin().read_to_end(&mut all).context("cannot read standard input").or_exit(Exit::Io)?;
    if all.is_empty() {
        return Err(Failure::new(Exit::Data, "standard input is empty: give the message there or as an argument"));
    }
    let all = String::from_utf8(all).map_err(|_| Failure::new(Exit::Data, "standard input is not UTF-8, which JSON requires"))?;
    content(all.trim_end_matches(['\r', '\n']), text).map_err(|why| not_json("standard input", &why))
}

/// If standard input is a terminal, tells the user what to type.
pub(crate) fn ask(what: impl Display) {
    if std::io::stdin().is_terminal() {
        say(what);
    }
}

/// The header that goes with a message. It has no `--text`, which is the message's.
pub(crate) fn header(given: &str) -> Result<Content, Failure> {
    content(given, false).map_err(|why| Failure::new(Exit::Data, format!("the header is not JSON: {why}; quote it as JSON")))
}

/// A text as a message: as it stands if it is JSON, or as a string on request.
pub(crate) fn content(given: &str, text: bool) -> serde_json::Result<Content> {
    if text {
        return serde_json::value::to_raw_value(given).map(|raw: Box<RawValue>| Content::from(&*raw));
    }
    Content::from_json(given)
}

/// What is wrong with one line. The parser's own line number, which is always 1, is left out.
pub(crate) fn why(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}

/// Says what is not JSON, and what to do.
fn not_json(source: &str, why: &serde_json::Error) -> Failure {
    Failure::new(Exit::Data, format!("{source} is not JSON: {why}; quote it as JSON, or use --text to send it as a string"))
}
