//! From a line to an action, or to the mistake in it.

use std::borrow::Cow;
use std::ops::Range;

use super::super::action::{Action, Payload, ReceiptId, Verb};
use super::super::codec::DecodeLimits;
use super::super::error::{ErrorCode, Mistake};
use super::super::members::Members;
use super::super::names::Latest;
use super::super::reason::cut;
use super::super::request::{self, Asked, StreamMember, Terms};
use super::explain;
use super::fault::Broken;
use super::form::{PUT_HEAD, PUT_TAIL};
use super::put;
use super::scan;
use super::text::{inner, text_of};
use super::token::skip_space;

/// Decodes one line, its end included. At the end of a connection that may be missing.
pub(super) fn decode<'a>(latest: &'a mut Latest, line: &'a [u8], limits: &DecodeLimits) -> Result<Option<Action<'a>>, Mistake> {
    if let Some(put) = put::recognise(line, latest.bytes(), limits)
        && let Ok(end) = scan::value(line, put.message)
        && (put.again || latest.set(slice(line, put.name.clone())))
    {
        let content = put.message..end;
        if line.get(end..) == Some(b"}\n") {
            let message = Payload { content: slice(line, content), verbatim: put.is_output };
            return Ok(latest.name(put.again).map(|stream| Action::Put { stream, message, header: None, of: None, receipt: None }));
        }
        let mut members = put.members(content);
        let whole = members.read_rest(line, end);
        return general(line, &members, whole, limits);
    }
    if skip_space(line, 0) == line.len() {
        return Ok(None);
    }
    let mut members = Members::default();
    let whole = members.read(line);
    general(line, &members, whole, limits)
}

/// The action that the members make. `whole` says what was wrong with the line, if anything.
fn general<'a>(line: &'a [u8], members: &Members, whole: Result<(), Broken>, limits: &DecodeLimits) -> Result<Option<Action<'a>>, Mistake> {
    let line_of = |range: &Range<usize>| slice(line, range.clone());
    let stream = members.stream.as_ref().map_or(StreamMember::Absent, |range| stream(line_of(range), limits));
    let verbatim = matches!(&stream, StreamMember::Named(name) if is_output(line, name, members));
    let request = Asked {
        broken: whole.err().map(|broken| explain::broken(line, &broken)),
        verb: verb(members.action.as_ref().map(line_of)),
        stream,
        receipt: members.receipt.as_ref().map_or(Ok(None), |range| receipt(line_of(range))),
        message: members.message.as_ref().map(line_of),
        header: members.header.as_ref().map(line_of),
        terms: Terms::of(members, |range| Cow::Borrowed(line_of(range))),
        verbatim,
    };
    request.action(limits).map(Some)
}

fn slice(line: &[u8], range: Range<usize>) -> &[u8] {
    line.get(range).unwrap_or_default()
}

/// Whether the line, if it is a put, is byte for byte what a listener would get.
fn is_output(line: &[u8], name: &str, members: &Members) -> bool {
    // A name that equals its own text on the wire has no escape, and no character that needs one.
    let content = line
        .strip_prefix(PUT_HEAD)
        .and_then(|rest| rest.strip_prefix(name.as_bytes()))
        .and_then(|rest| rest.strip_prefix(PUT_TAIL))
        .and_then(|rest| rest.strip_suffix(b"}\n"));
    // The message fills the rest: there is neither white space around it nor another member.
    members.message.as_ref().is_some_and(|range| content.is_some_and(|content| content.len() == range.len()))
}

/// The verb, from the text of its value; or why there is none.
fn verb(text: Option<&[u8]>) -> Result<Verb, String> {
    let Some(text) = text else { return Err(request::no_verb()) };
    if !text.starts_with(b"\"") {
        return Err(request::not_a_verb(explain::kind(text)));
    }
    if let Some(verb) = Verb::of(inner(text)) {
        return Ok(verb);
    }
    match text_of(text) {
        Some(given) => Verb::of(given.as_bytes()).ok_or_else(|| request::unknown_verb(&given)),
        None => Err(request::unknown_verb(&cut(text))),
    }
}

/// The stream, from the text of its value.
fn stream<'a>(text: &'a [u8], limits: &DecodeLimits) -> StreamMember<'a> {
    match text.first() {
        Some(b'"') => {}
        Some(b'n') => return StreamMember::Null,
        _ => return StreamMember::not_text(explain::kind(text)),
    }
    // An escape takes six bytes at most for one (\u0041): a text longer than that is refused without being decoded.
    if inner(text).len() / 6 > limits.name + request::DIRECTORY.len() {
        return StreamMember::too_long(inner(text), limits);
    }
    match text_of(text) {
        Some(name) => StreamMember::named(name, limits),
        None => StreamMember::Wrong(
            "\"stream\" holds a \\u escape of half a surrogate pair, which is no character: send both halves, or the character itself"
                .into(),
        ),
    }
}

/// The receipt, from the text of its value; or why that is none.
fn receipt(text: &[u8]) -> Result<Option<ReceiptId>, (ErrorCode, String)> {
    match text.first() {
        Some(b'n') => return Ok(None),
        Some(b'"' | b'-' | b'0'..=b'9') => {}
        _ => return Err(request::not_a_receipt(explain::kind(text))),
    }
    request::check_receipt(text.len())?;
    Ok(std::str::from_utf8(text).ok().map(ReceiptId::new))
}
