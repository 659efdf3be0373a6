//! Lines that begin as nearly all of a busy broker do: a put, its stream, then its message.

use std::ops::Range;

use super::super::codec::DecodeLimits;
use super::super::members::Members;
use super::form;
use super::words::{self, word};
use crate::wire::ids::is_reserved;

/// How a put is written up to its message.
struct Form {
    /// What stands before the name, its quote included.
    head: &'static [u8],
    /// What stands between the name and the message.
    tail: &'static [u8],
    /// Where the action stands.
    action: Range<usize>,
    /// Whether listeners get it in this form.
    is_output: bool,
}

const COMPACT: Form = Form { head: form::PUT_HEAD, tail: form::PUT_TAIL, action: form::PUT_ACTION, is_output: true };

/// As Python's `json.dumps` writes it.
const PYTHON: Form = Form { head: br#"{"action": "put", "stream": ""#, tail: br#"", "message": "#, action: 11..16, is_output: false };

/// The parts of a line that begins in one of these forms.
pub(super) struct Put {
    /// The name, which has no escape. Whether it is UTF-8 is not known yet.
    pub(super) name: Range<usize>,
    /// Whether it is the latest name again.
    pub(super) again: bool,
    /// Where the message begins.
    pub(super) message: usize,
    /// Whether the line, up to its message, is what a listener would get.
    pub(super) is_output: bool,
    action: Range<usize>,
}

impl Put {
    /// The members up to the message.
    pub(super) fn members(&self, message: Range<usize>) -> Members {
        // With the name's quotes.
        let stream = self.name.start - 1..self.name.end + 1;
        Members { action: Some(self.action.clone()), stream: Some(stream), message: Some(message), ..Members::default() }
    }
}

/// Recognises a line that begins in one of the two usual forms, with a name that a client may put to. `latest` is the name
/// recognised before, or empty.
#[inline]
pub(super) fn recognise(line: &[u8], latest: &[u8], limits: &DecodeLimits) -> Option<Put> {
    recognise_form(line, &COMPACT, latest, limits).or_else(|| recognise_form(line, &PYTHON, latest, limits))
}

#[inline(always)]
fn recognise_form(line: &[u8], form: &Form, latest: &[u8], limits: &DecodeLimits) -> Option<Put> {
    let name = line.strip_prefix(form.head)?;
    let again = name.strip_prefix(latest).is_some_and(|rest| rest.starts_with(form.tail));
    let length = if again { latest.len() } else { plain_length(name) };
    if length == 0 || length > limits.name || !again && (is_reserved(name) || !name.get(length..)?.starts_with(form.tail)) {
        return None;
    }
    let start = form.head.len();
    let end = start + length;
    Some(Put { name: start..end, again, message: end + form.tail.len(), is_output: form.is_output, action: form.action.clone() })
}

/// How many bytes at the beginning stand for themselves in a string.
#[inline(always)]
fn plain_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let run = words::plain_run(word(bytes, at));
        at += run;
        if run < words::WIDTH {
            return at;
        }
    }
}
