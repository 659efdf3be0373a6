//! From a unit to an action, or to the mistake in it.

use std::borrow::Cow;
use std::ops::Range;

use super::super::action::{Action, Payload, ReceiptId, Verb};
use super::super::codec::DecodeLimits;
use super::super::error::{ErrorCode, Mistake};
use super::super::members::{Members, Others, Surplus};
use super::super::names::Latest;
use super::super::request::{self, Asked, StreamMember, Terms};
use super::encode::put_envelope;
use super::explain;
use super::fault::{Broken, What};
use super::form::{MESSAGE, PREFIX, PUT_HEAD};
use super::skip;
use super::to_json;
use super::token::{Token, token};
use super::write::text_head;
use crate::wire::ids::is_reserved;

/// Decodes one unit, its length included.
pub(super) fn decode<'a>(latest: &'a mut Latest, unit: &'a [u8], limits: &DecodeLimits) -> Result<Option<Action<'a>>, Mistake> {
    let body = unit.get(PREFIX..).unwrap_or_default();
    let announced = unit.first_chunk().map(|prefix| u32::from_be_bytes(*prefix) as usize);
    if announced != Some(body.len()) {
        // The end of a connection may come within a unit.
        return Err(Mistake::new(ErrorCode::BadJson, explain::broken(&Broken::Cut)));
    }
    if body.is_empty() {
        return Ok(None);
    }
    if let Some((name, start)) = put(body, limits)
        && skip::value(body, start) == Ok(body.len())
        && let again = name == latest.bytes()
        && (again || latest.set(name))
    {
        let message = Payload { content: slice(body, start..body.len()), verbatim: true };
        return Ok(latest.name(again).map(|stream| Action::Put { stream, message, header: None, of: None, receipt: None }));
    }
    let mut members = Members::default();
    let whole = members.unpack(body);
    let of = |range: &Range<usize>| slice(body, range.clone());
    let stream = members.stream.as_ref().map_or(StreamMember::Absent, |range| stream(of(range), limits));
    let verbatim = matches!(&stream, StreamMember::Named(name) if is_output(body, name, &members));
    let request = Asked {
        broken: whole.err().map(|broken| explain::broken(&broken)),
        verb: verb(members.action.as_ref().map(of)),
        stream,
        receipt: members.receipt.as_ref().map_or(Ok(None), |range| receipt(of(range))),
        message: members.message.as_ref().map(of),
        header: members.header.as_ref().map(of),
        terms: Terms::of(&members, |range| text(of(range))),
        verbatim,
    };
    request.action(limits).map(Some)
}

/// The name in a unit that begins exactly as listeners get it, not yet known to be UTF-8, and where the message begins.
#[inline]
fn put<'a>(body: &'a [u8], limits: &DecodeLimits) -> Option<(&'a [u8], usize)> {
    let rest = body.strip_prefix(PUT_HEAD)?;
    let (Token::Text(name), end) = token(rest, 0).ok()? else { return None };
    if name.is_empty() || name.len() > limits.name || is_reserved(name) || end - name.len() != text_head(name.len()) {
        return None;
    }
    let message = rest.get(end..)?.strip_prefix(MESSAGE)?;
    Some((name, body.len() - message.len()))
}

impl Members {
    /// Reads a whole unit without its length. After a mistake, the members read before it are there.
    fn unpack(&mut self, body: &[u8]) -> Result<(), Broken> {
        let (map, mut at) = token(body, 0)?;
        let Token::Map(count) = map else { return Err(Broken::NotMap(map.kind())) };
        let mut others = Others::default();
        for _ in 0..count {
            let (key, start) = token(body, at)?;
            let Token::Text(text) = key else { return Err(Broken::KeyKind(at, key.kind())) };
            if std::str::from_utf8(text).is_err() {
                return Err(What::Utf8.at(at).into());
            }
            let end = skip::value(body, start)?;
            match self.take(text, start..end, &mut others) {
                Ok(()) => {}
                Err(Surplus::Twice) => return Err(Broken::Twice(at, text.to_vec())),
                Err(Surplus::Many) => return Err(Broken::Many(at)),
            }
            at = end;
        }
        if at == body.len() { Ok(()) } else { Err(Broken::After(at)) }
    }
}

fn slice(body: &[u8], range: Range<usize>) -> &[u8] {
    body.get(range).unwrap_or_default()
}

/// A value as JSON text.
fn text<'a>(value: &[u8]) -> Cow<'a, [u8]> {
    let mut text = Vec::new();
    to_json::write(value, &mut text);
    Cow::Owned(text)
}

/// Whether the unit, if it is a put, is byte for byte what a listener would get.
fn is_output(body: &[u8], name: &str, members: &Members) -> bool {
    let Some(message) = &members.message else { return false };
    body.starts_with(PUT_HEAD) && message.end == body.len() && body.get(..message.start) == Some(&put_envelope(name))
}

/// The token that a valid value begins with.
fn first(value: &[u8]) -> Token<'_> {
    token(value, 0).map_or(Token::Nil, |(token, _)| token)
}

/// The verb, from its value; or why there is none.
fn verb(value: Option<&[u8]>) -> Result<Verb, String> {
    let Some(value) = value else { return Err(request::no_verb()) };
    match first(value) {
        Token::Text(word) => Verb::of(word).ok_or_else(|| request::unknown_verb(&String::from_utf8_lossy(word))),
        other => Err(request::not_a_verb(other.kind())),
    }
}

fn stream<'a>(value: &'a [u8], limits: &DecodeLimits) -> StreamMember<'a> {
    match first(value) {
        Token::Nil => StreamMember::Null,
        // Known to be UTF-8.
        Token::Text(text) => StreamMember::named(String::from_utf8_lossy(text), limits),
        other => StreamMember::not_text(other.kind()),
    }
}

/// The receipt, as JSON text; or why the value is none.
fn receipt(value: &[u8]) -> Result<Option<ReceiptId>, (ErrorCode, String)> {
    let text = match first(value) {
        Token::Nil => return Ok(None),
        Token::Text(text) => serde_json::to_string(&Cow::clone(&String::from_utf8_lossy(text))),
        Token::Int(number) => Ok(number.to_string()),
        Token::Large(number) => Ok(number.to_string()),
        Token::Float32(number) if number.is_finite() => serde_json::to_string(&f64::from(number)),
        Token::Float64(number) if number.is_finite() => serde_json::to_string(&number),
        Token::Float32(_) | Token::Float64(_) => return Err(request::not_a_receipt("NaN or Infinity")),
        other => return Err(request::not_a_receipt(other.kind())),
    };
    request::check_receipt(value.len())?;
    // A text or a number can always be written.
    Ok(text.ok().map(|text| ReceiptId::new(&text)))
}
