//! From what a unit says to an action, or to the mistake in it: the same in every encoding.
//!
//! When several things are wrong the first of these is told: the unit itself, the action, the receipt, the stream, the
//! message.

use std::borrow::Cow;

use super::action::{Action, Message, Name, Receipt};
use super::codec::DecodeLimits;
use super::error::{ErrorCode, Mistake};
use super::reason::{cut, unknown_action};
use crate::wire::ids::{EmptyName, StreamName};

/// The longest receipt, in bytes as it was sent: it is stored until it is answered.
const LONGEST_RECEIPT: usize = 256;

/// What one unit says, member by member.
pub(super) struct Request<'a> {
    /// Why the unit is not one whole object with each key once, if it is not.
    pub(super) broken: Option<String>,
    /// What is asked for; or why it is nothing.
    pub(super) verb: Result<Verb, String>,
    pub(super) stream: Stream<'a>,
    pub(super) receipt: Result<Option<Receipt>, (ErrorCode, String)>,
    pub(super) message: Option<&'a [u8]>,
    pub(super) header: Option<&'a [u8]>,
    /// Whether the unit, if it is a put, stands exactly as a listener would get it.
    pub(super) verbatim: bool,
}

/// The value of the key "stream".
pub(super) enum Stream<'a> {
    Absent,
    Null,
    Named(Cow<'a, str>),
    /// Why it is no name.
    Wrong(String),
}

impl<'a> Stream<'a> {
    /// A text, if it can be a name.
    pub(super) fn named(text: Cow<'a, str>, limits: &DecodeLimits) -> Self {
        if text.is_empty() {
            return Self::Wrong("\"stream\" is empty: a name needs at least one character".into());
        }
        if text.len() > limits.name {
            return Self::too_long(text.as_bytes(), limits);
        }
        Self::Named(text)
    }

    pub(super) fn too_long(text: &[u8], limits: &DecodeLimits) -> Self {
        let (shown, most) = (cut(text), limits.name);
        Self::Wrong(format!("the name of the stream, \"{shown}\", is longer than {most} bytes of UTF-8 (the broker's setting limits.name)"))
    }

    /// A value of this kind, which is no text.
    pub(super) fn not_text(kind: &str) -> Self {
        Self::Wrong(not_a_name(kind))
    }
}

fn not_a_name(kind: &str) -> String {
    format!("\"stream\" must be a string that is not empty, not {kind}")
}

/// Why a value of this kind is no receipt.
pub(super) fn not_a_receipt(kind: &str) -> (ErrorCode, String) {
    (ErrorCode::BadAction, format!("\"receipt\" must be a string or a number (or null for none), not {kind}"))
}

/// A receipt may have so many bytes as it was sent.
pub(super) fn check_receipt(length: usize) -> Result<(), (ErrorCode, String)> {
    if length <= LONGEST_RECEIPT {
        return Ok(());
    }
    Err((ErrorCode::Limit, format!("\"receipt\" takes {length} bytes: the most is {LONGEST_RECEIPT}, which is no setting")))
}

impl<'a> Request<'a> {
    /// The action.
    pub(super) fn action(self) -> Result<Action<'a>, Mistake> {
        let Self { broken, verb, stream, receipt, message, header, verbatim } = self;
        // Whatever is wrong, the client gets back what could be read of its unit.
        let mistake = |code, reason| Mistake {
            code,
            reason,
            stream: if let Stream::Named(name) = &stream { Some(name.clone().into_owned()) } else { None },
            receipt: receipt.as_ref().ok().cloned().flatten(),
        };

        if let Some(reason) = broken {
            return Err(mistake(ErrorCode::BadJson, reason));
        }
        let verb = verb.map_err(|reason| mistake(ErrorCode::BadAction, reason))?;
        if let Err((code, reason)) = &receipt {
            return Err(mistake(*code, reason.clone()));
        }
        let text = match (&stream, verb) {
            (_, Verb::Ping) => return Ok(Action::Ping { receipt: receipt.unwrap_or_default() }),
            (Stream::Absent | Stream::Null, Verb::Hangup) => {
                return Ok(Action::Hangup { stream: None, receipt: receipt.unwrap_or_default() });
            }
            (Stream::Absent, Verb::Close) => return Ok(Action::CloseConnection { receipt: receipt.unwrap_or_default() }),
            (Stream::Absent, _) => {
                let reason = format!("\"{}\" needs a stream: add \"stream\":\"NAME\"", verb.word());
                return Err(mistake(ErrorCode::MissingStream, reason));
            }
            (Stream::Null, _) => return Err(mistake(ErrorCode::BadStream, not_a_name("null"))),
            (Stream::Wrong(reason), _) => return Err(mistake(ErrorCode::BadStream, reason.clone())),
            (Stream::Named(text), _) => text,
        };
        if verb.writes() && text.starts_with('$') {
            let (verb, name) = (verb.word(), cut(text.as_bytes()));
            let reason = format!("\"{verb}\" on \"{name}\": names that begin with $ are the broker's own, clients may only listen to them");
            return Err(mistake(ErrorCode::Denied, reason));
        }
        let message = message.map(|content| Message { content, verbatim: false });
        let no_message = || {
            let reason = format!("\"{}\" needs a message: add \"message\":VALUE, any JSON value, null included", verb.word());
            mistake(ErrorCode::MissingMessage, reason)
        };
        let empty = |empty: EmptyName| mistake(ErrorCode::BadStream, empty.to_string());
        let new = |text: &str| StreamName::new(text).map(Name::New).map_err(empty);
        Ok(match verb {
            Verb::Put => {
                let message = Message { verbatim, ..message.ok_or_else(no_message)? };
                let header = header.map(|content| Message { content, verbatim: false });
                Action::Put { stream: new(text)?, message, header, receipt: receipt.unwrap_or_default() }
            }
            Verb::Header => {
                let message = message.ok_or_else(no_message)?;
                Action::Header { stream: new(text)?, message, receipt: receipt.unwrap_or_default() }
            }
            Verb::Listen => Action::Listen { stream: new(text)?, receipt: receipt.unwrap_or_default() },
            Verb::Hangup => Action::Hangup { stream: Some(new(text)?), receipt: receipt.unwrap_or_default() },
            Verb::Close => Action::Close { stream: new(text)?, message, receipt: receipt.unwrap_or_default() },
            Verb::Delete => Action::Delete { stream: new(text)?, message, receipt: receipt.unwrap_or_default() },
            Verb::Ping => Action::Ping { receipt: receipt.unwrap_or_default() },
        })
    }
}

/// What a client asks for, as the wire names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
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

    /// The verb of a word.
    pub(super) fn of(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.word().as_bytes() == word)
    }

    pub(super) fn word(self) -> &'static str {
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

    /// Why there is none: the key is missing.
    pub(super) fn missing() -> String {
        format!("the key \"action\" is missing: it must be one of {}", Self::ALL.map(Self::word).join(", "))
    }

    /// Why there is none: the value is of this kind.
    pub(super) fn not_text(kind: &str) -> String {
        format!("\"action\" must be a string, one of {}, not {kind}", Self::ALL.map(Self::word).join(", "))
    }

    /// Why there is none: there is no such word.
    pub(super) fn unknown(word: &str) -> String {
        unknown_action(word, &Self::ALL.map(Self::word))
    }

    /// Whether it changes the stream for others.
    fn writes(self) -> bool {
        match self {
            Self::Header | Self::Put | Self::Close | Self::Delete => true,
            Self::Listen | Self::Hangup | Self::Ping => false,
        }
    }
}
