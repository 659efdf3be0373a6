//! From a line to an action, or to the mistake in it.
//!
//! When several things are wrong the first of these is told: the JSON, the action, the receipt, the stream, the message.

use std::borrow::Cow;
use std::ops::Range;

use super::super::action::{Action, Message, Name, Receipt};
use super::super::codec::DecodeLimits;
use super::super::error::{ErrorCode, Mistake};
use super::encode::{PUT_HEAD, PUT_TAIL};
use super::explain::{self, cut};
use super::kept::Kept;
use super::object::{Broken, Members};
use super::scan;
use super::token::skip_space;
use crate::ids::{EmptyName, StreamName};

/// The longest receipt, in bytes of its JSON text: it is stored until it is answered.
const LONGEST_RECEIPT: usize = 256;

/// Decodes one line, with its end or, at the end of a connection, without.
pub(super) fn decode<'a>(kept: &'a mut Kept, line: &'a [u8], limits: &DecodeLimits) -> Result<Option<Action<'a>>, Mistake> {
    if let Some(hit) = kept.match_line(line)
        && let Ok(end) = scan::value(line, hit.message)
        && kept.name(hit.index).is_some_and(|name| name.as_str().len() <= limits.name)
    {
        let content = hit.message..end;
        if line.get(end..) == Some(b"}\n") {
            let message = Message { content: slice(line, content), verbatim: hit.verbatim };
            return Ok(kept.name(hit.index).map(|name| Action::Put { stream: Name::Kept(name), message, header: None, receipt: None }));
        }
        let mut members = hit.members(content);
        let whole = members.read_rest(line, end);
        return general(kept, line, &members, whole, limits);
    }
    if skip_space(line, 0) == line.len() {
        return Ok(None);
    }
    let mut members = Members::default();
    let whole = members.read(line);
    general(kept, line, &members, whole, limits)
}

/// What the members of a line ask for, if the line was `whole`.
fn general<'a>(
    kept: &'a mut Kept,
    line: &'a [u8],
    members: &Members,
    whole: Result<(), Broken>,
    limits: &DecodeLimits,
) -> Result<Option<Action<'a>>, Mistake> {
    let line_of = |range: &Range<usize>| slice(line, range.clone());
    let stream = members.stream.as_ref().map(|range| stream_text(line_of(range), limits));
    let receipt = members.receipt.as_ref().map_or(Ok(None), |range| receipt(line_of(range)));
    // Whatever is wrong, the client gets back what could be read of its line.
    let mistake = |code, reason| Mistake {
        code,
        reason,
        stream: stream.as_ref().and_then(|text| text.as_ref().ok()).map(|text| text.clone().into_owned()),
        receipt: receipt.as_ref().ok().cloned().flatten(),
    };

    whole.map_err(|broken| mistake(ErrorCode::BadJson, explain::broken(line, &broken)))?;
    let verb = verb(members.action.as_ref().map(line_of)).map_err(|reason| mistake(ErrorCode::BadAction, reason))?;
    if let Err((code, reason)) = &receipt {
        return Err(mistake(*code, reason.clone()));
    }

    let absent = match &members.stream {
        None => true,
        Some(range) => verb == Verb::Hangup && line_of(range) == b"null",
    };
    let text = match (&stream, verb) {
        (_, Verb::Ping) => return Ok(Some(Action::Ping { receipt: receipt.unwrap_or_default() })),
        (_, Verb::Hangup) if absent => return Ok(Some(Action::Hangup { stream: None, receipt: receipt.unwrap_or_default() })),
        (None, Verb::Close) => return Ok(Some(Action::CloseConnection { receipt: receipt.unwrap_or_default() })),
        (None, _) => {
            let reason = format!("\"{}\" needs a stream: add \"stream\":\"NAME\"", verb.word());
            return Err(mistake(ErrorCode::MissingStream, reason));
        }
        (Some(Err(reason)), _) => return Err(mistake(ErrorCode::BadStream, reason.clone())),
        (Some(Ok(text)), _) => text,
    };
    if verb.writes() && text.starts_with('$') {
        let (verb, name) = (verb.word(), cut(text.as_bytes()));
        let reason = format!("\"{verb}\" on \"{name}\": names that begin with $ are the broker's own, clients may only listen to them");
        return Err(mistake(ErrorCode::Denied, reason));
    }
    let message = members.message.as_ref().map(|range| Message { content: line_of(range), verbatim: false });
    let no_message = || {
        let reason = format!("\"{}\" needs a message: add \"message\":VALUE, any JSON value, null included", verb.word());
        mistake(ErrorCode::MissingMessage, reason)
    };
    let empty = |empty: EmptyName| mistake(ErrorCode::BadStream, empty.to_string());
    Ok(Some(match verb {
        Verb::Put => {
            let message = message.ok_or_else(no_message)?;
            let header = members.header.as_ref().map(|range| Message { content: line_of(range), verbatim: false });
            let verbatim = is_output(line, text, members);
            // Only puts fill the cache: a listener may name thousands of streams, each once.
            kept.keep(text);
            let stream = name(kept, text).map_err(empty)?;
            Action::Put { stream, message: Message { verbatim, ..message }, header, receipt: receipt.unwrap_or_default() }
        }
        Verb::Header => {
            let message = message.ok_or_else(no_message)?;
            Action::Header { stream: name(kept, text).map_err(empty)?, message, receipt: receipt.unwrap_or_default() }
        }
        Verb::Listen => Action::Listen { stream: name(kept, text).map_err(empty)?, receipt: receipt.unwrap_or_default() },
        Verb::Hangup => Action::Hangup { stream: Some(name(kept, text).map_err(empty)?), receipt: receipt.unwrap_or_default() },
        Verb::Close => Action::Close { stream: name(kept, text).map_err(empty)?, message, receipt: receipt.unwrap_or_default() },
        Verb::Delete => Action::Delete { stream: name(kept, text).map_err(empty)?, message, receipt: receipt.unwrap_or_default() },
        Verb::Ping => Action::Ping { receipt: receipt.unwrap_or_default() },
    }))
}

fn slice(line: &[u8], range: Range<usize>) -> &[u8] {
    line.get(range).unwrap_or_default()
}

/// The name to hand out: the kept one, or else one of its own.
fn name<'a>(kept: &'a Kept, text: &str) -> Result<Name<'a>, EmptyName> {
    match kept.find(text).and_then(|index| kept.name(index)) {
        Some(name) => Ok(Name::Kept(name)),
        None => StreamName::new(text).map(Name::New),
    }
}

/// Whether a put stands in its line exactly as a listener would get it.
fn is_output(line: &[u8], name: &str, members: &Members) -> bool {
    // A name that equals its own text on the wire has no escape, and no character that needs one.
    let content = line
        .strip_prefix(PUT_HEAD)
        .and_then(|rest| rest.strip_prefix(name.as_bytes()))
        .and_then(|rest| rest.strip_prefix(PUT_TAIL))
        .and_then(|rest| rest.strip_suffix(b"}\n"));
    // Neither white space around the message nor another member: the message is all there is.
    members.message.as_ref().is_some_and(|range| content.is_some_and(|content| content.len() == range.len()))
}

/// What a client asks for, as the wire names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Header,
    Put,
    Listen,
    Hangup,
    Close,
    Delete,
    Ping,
}

impl Verb {
    const ALL: [Self; 7] = [Self::Header, Self::Put, Self::Listen, Self::Hangup, Self::Close, Self::Delete, Self::Ping];

    fn word(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Put => "put",
            Self::Listen => "listen",
            Self::Hangup => "hangup",
            Self::Close => "close",
            Self::Delete => "delete",
            Self::Ping => "ping",
        }
    }

    /// Whether it changes the stream for others.
    fn writes(self) -> bool {
        match self {
            Self::Header | Self::Put | Self::Close | Self::Delete => true,
            Self::Listen | Self::Hangup | Self::Ping => false,
        }
    }
}

/// The action, from the text of its value; or why it is none.
fn verb(text: Option<&[u8]>) -> Result<Verb, String> {
    let words = || Verb::ALL.map(Verb::word);
    let Some(text) = text else {
        return Err(format!("the key \"action\" is missing: it must be one of {}", words().join(", ")));
    };
    if let Some(verb) = Verb::ALL
        .into_iter()
        .find(|verb| text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) == Some(verb.word().as_bytes()))
    {
        return Ok(verb);
    }
    if !text.starts_with(b"\"") {
        return Err(format!("\"action\" must be a string, one of {}, not {}", words().join(", "), explain::kind(text)));
    }
    match text_of(text) {
        Some(given) => Verb::ALL.into_iter().find(|verb| verb.word() == given).ok_or_else(|| explain::unknown_action(&given, &words())),
        None => Err(explain::unknown_action(&cut(text), &words())),
    }
}

/// A stream's name from the text of its value; or why it is none.
fn stream_text<'a>(text: &'a [u8], limits: &DecodeLimits) -> Result<Cow<'a, str>, String> {
    if !text.starts_with(b"\"") {
        return Err(format!("\"stream\" must be a string that is not empty, not {}", explain::kind(text)));
    }
    let too_long = || {
        let most = limits.name;
        format!("the name of the stream, \"{}\", is longer than {most} bytes of UTF-8 (the broker's setting limits.name)", cut(inner(text)))
    };
    // The longest escape, \u0041, takes six bytes for one: what is longer still need not be decoded to be refused.
    if inner(text).len() / 6 > limits.name {
        return Err(too_long());
    }
    let Some(name) = text_of(text) else {
        return Err(
            "\"stream\" holds a \\u escape of half a surrogate pair, which is no character: send both halves, or the character itself"
                .into(),
        );
    };
    if name.is_empty() {
        return Err("\"stream\" is empty: a name needs at least one character".into());
    }
    if name.len() > limits.name {
        return Err(too_long());
    }
    Ok(name)
}

/// A receipt from the text of its value; or why it is none.
fn receipt(text: &[u8]) -> Result<Option<Receipt>, (ErrorCode, String)> {
    match text.first() {
        Some(b'n') => return Ok(None),
        Some(b'"' | b'-' | b'0'..=b'9') => {}
        _ => {
            let kind = explain::kind(text);
            return Err((ErrorCode::BadAction, format!("\"receipt\" must be a string or a number (or null for none), not {kind}")));
        }
    }
    if text.len() > LONGEST_RECEIPT {
        let length = text.len();
        return Err((ErrorCode::Limit, format!("\"receipt\" takes {length} bytes: the most is {LONGEST_RECEIPT}, which is no setting")));
    }
    Ok(std::str::from_utf8(text).ok().map(|text| Receipt(text.into())))
}

/// What stands between the quotes of a JSON string.
fn inner(text: &[u8]) -> &[u8] {
    slice(text, 1..text.len().saturating_sub(1))
}

/// The text of a JSON string, its escapes decoded; none if it holds half a surrogate pair.
fn text_of(text: &[u8]) -> Option<Cow<'_, str>> {
    if memchr::memchr(b'\\', text).is_none() {
        return std::str::from_utf8(inner(text)).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice(text).ok().map(Cow::Owned)
}
