//! Turns the members of a unit into an action, or finds the mistake in them: the same in every encoding.
//!
//! If several things are wrong, the first of these is reported: the unit itself, the action, the receipt, the stream, the
//! message.

use std::borrow::Cow;
use std::ops::Range;

use super::action::{Action, Name, Need, Payload, ReceiptId, Target, Verb};
use super::codec::DecodeLimits;
use super::error::{ErrorCode, Mistake};
use super::members::{Member, Members};
use super::position::{Epoch, Position, Positions, Start, Starts};
use super::reason::unknown_action;
use super::refusal;
use super::secret::Token;
use super::session::SessionName;
use crate::wire::ids::{EmptyName, Prefix, StreamName, is_reserved};

/// The longest receipt, in bytes as it was sent: it is stored until it is answered.
const LONGEST_RECEIPT: usize = 256;

/// What one unit asks for, member by member.
pub(super) struct Asked<'a> {
    /// What is wrong with the unit as a whole, if it is not one object with each key once.
    pub(super) broken: Option<String>,
    /// The action's verb, or why there is none.
    pub(super) verb: Result<Verb, String>,
    pub(super) stream: StreamMember<'a>,
    pub(super) receipt: Result<Option<ReceiptId>, (ErrorCode, String)>,
    pub(super) message: Option<&'a [u8]>,
    pub(super) header: Option<&'a [u8]>,
    /// The others, as JSON text.
    pub(super) terms: Terms<'a>,
    /// Whether the unit, if it is a put, is byte for byte what a listener would get.
    pub(super) verbatim: bool,
}

/// The members that few actions have, each the JSON text of its value.
#[derive(Default)]
pub(super) struct Terms<'a> {
    pub(super) after: Option<Cow<'a, [u8]>>,
    pub(super) last: Option<Cow<'a, [u8]>>,
    pub(super) condition: Option<Cow<'a, [u8]>>,
    pub(super) of: Option<Cow<'a, [u8]>>,
    pub(super) session: Option<Cow<'a, [u8]>>,
    pub(super) token: Option<Cow<'a, [u8]>>,
    pub(super) mode: Option<Cow<'a, [u8]>>,
    pub(super) prefix: Option<Cow<'a, [u8]>>,
    pub(super) durable: Option<Cow<'a, [u8]>>,
}

impl<'a> Terms<'a> {
    /// Those among the members of a unit. `text` has the JSON text of a value.
    pub(super) fn of(members: &Members, text: impl Fn(&Range<usize>) -> Cow<'a, [u8]>) -> Self {
        let term = |member: &Member| member.as_ref().map(&text);
        Self {
            after: term(&members.after),
            last: term(&members.last),
            condition: term(&members.condition),
            of: term(&members.of),
            session: term(&members.session),
            token: term(&members.token),
            mode: term(&members.mode),
            prefix: term(&members.prefix),
            durable: term(&members.durable),
        }
    }
}

impl Terms<'_> {
    /// Where a listener begins; none if it begins with what comes next.
    fn start(&self) -> Result<Option<Box<Start>>, String> {
        let after = value::<Position>(self.after.as_deref()).map_err(|()| {
            "\"after\" must be a position as receipts give it, {\"epoch\":TEXT,\"sequence\":NUMBER} (or null for none)".to_owned()
        })?;
        let (last, latest) = (self.last()?, self.latest()?);
        Ok((after.is_some() || last.is_some() || latest).then(|| Box::new(Start { after, last, latest })))
    }

    /// Whether only the newest message is wanted of those that wait.
    fn latest(&self) -> Result<bool, String> {
        match value::<Cow<'_, str>>(self.mode.as_deref()) {
            Ok(None) => Ok(false),
            Ok(Some(word)) if word == "latest" => Ok(true),
            Ok(Some(_)) | Err(()) => Err("\"mode\" must be \"latest\", the only mode there is (or null for every message)".to_owned()),
        }
    }

    /// The same for the listener of a prefix.
    fn starts(&self) -> Result<Option<Box<Starts>>, String> {
        let after = value::<Positions>(self.after.as_deref()).map_err(|()| {
            "with a prefix, \"after\" must be an object with a position for each stream, {\"NAME\":{\"epoch\":TEXT,\"sequence\":NUMBER},...} (or null for none)".to_owned()
        })?;
        let (last, latest) = (self.last()?, self.latest()?);
        Ok((after.is_some() || last.is_some() || latest).then(|| Box::new(Starts { after, last, latest })))
    }

    fn last(&self) -> Result<Option<u64>, String> {
        value(self.last.as_deref())
            .map_err(|()| "\"last\" must be how many of the last messages are wanted, a whole number from 0 (or null for none)".to_owned())
    }

    /// How the names of the streams begin that are meant.
    fn prefix(&self, limits: &DecodeLimits) -> Result<Option<Prefix>, String> {
        let text = value::<Cow<'_, str>>(self.prefix.as_deref())
            .map_err(|()| "\"prefix\" must be a string, how names of streams begin; \"\" is how all do (or null for none)".to_owned())?;
        match text {
            Some(text) if text.len() > longest_name(&text, limits) => Err(refusal::long_prefix(text.as_bytes(), limits.name)),
            text => Ok(text.map(|text| Prefix::new(&text))),
        }
    }

    fn epoch(&self) -> Result<Option<Epoch>, String> {
        value(self.of.as_deref()).map_err(|()| "\"of\" must be the epoch of a position, which is a string (or null for none)".to_owned())
    }

    /// The session that the connection is to belong to.
    fn session(&self) -> Result<SessionName, String> {
        let text = self.session.as_deref().and_then(|text| value::<Cow<'_, str>>(Some(text)).ok().flatten());
        text.and_then(|text| SessionName::new(&text)).ok_or_else(|| {
            format!(
                "\"session\" must be a string that the client made at random, of {} to {} bytes of UTF-8",
                SessionName::SHORTEST,
                SessionName::LONGEST
            )
        })
    }

    /// What proves who the client is. The reason does not repeat it.
    fn token(&self) -> Result<Token, String> {
        let text = self.token.as_deref().and_then(|text| value::<Cow<'_, str>>(Some(text)).ok().flatten());
        text.and_then(|text| Token::new(&text).ok()).ok_or_else(|| refusal::NEEDS_TOKEN.to_owned())
    }

    /// Whether the receipt is to wait until what is done is durable.
    fn durable(&self, verb: Verb, receipt: Option<&ReceiptId>) -> Result<bool, String> {
        let durable =
            value::<bool>(self.durable.as_deref()).map_err(|()| "\"durable\" must be true or false (or null for false)".to_owned())?;
        if durable != Some(true) {
            return Ok(false);
        }
        if !matches!(verb, Verb::Header | Verb::Close | Verb::Delete) {
            return Err(format!("\"durable\" goes with \"header\", \"close\" and \"delete\", not with \"{}\"", verb.word()));
        }
        if receipt.is_none() {
            return Err("\"durable\" is said of a receipt: add \"receipt\":TEXT".to_owned());
        }
        Ok(true)
    }

    /// Whether the stream is to be without header and end.
    fn absent(&self) -> Result<bool, String> {
        match value::<Cow<'_, str>>(self.condition.as_deref()) {
            Ok(None) => Ok(false),
            Ok(Some(word)) if word == "absent" => Ok(true),
            Ok(Some(_)) | Err(()) => Err("\"if\" must be \"absent\", the only condition there is (or null for none)".to_owned()),
        }
    }
}

/// How the names of the directory's streams begin, each of which has the name of another one in it.
pub(super) const DIRECTORY: &str = "$streams/";

/// How long a name may be that begins so: the directory tells of each stream, however long its name is.
fn longest_name(text: &str, limits: &DecodeLimits) -> usize {
    limits.name + if text.starts_with(DIRECTORY) { DIRECTORY.len() } else { 0 }
}

/// A value of one type, or none for `null`.
fn value<'a, T: serde::Deserialize<'a>>(text: Option<&'a [u8]>) -> Result<Option<T>, ()> {
    text.map_or(Ok(None), |text| serde_json::from_slice(text).map_err(drop))
}

/// The value of the key "stream".
pub(super) enum StreamMember<'a> {
    Absent,
    Null,
    Named(Cow<'a, str>),
    /// Why it is not a name.
    Wrong(String),
}

impl<'a> StreamMember<'a> {
    /// A text, which is a name unless it is empty or too long.
    pub(super) fn named(text: Cow<'a, str>, limits: &DecodeLimits) -> Self {
        if text.is_empty() {
            return Self::Wrong(format!("\"stream\" is empty: {EmptyName}"));
        }
        if text.len() > longest_name(&text, limits) {
            return Self::too_long(text.as_bytes(), limits);
        }
        Self::Named(text)
    }

    pub(super) fn too_long(text: &[u8], limits: &DecodeLimits) -> Self {
        Self::Wrong(refusal::long_name(text, limits.name))
    }

    /// A value that is no text but of this kind.
    pub(super) fn not_text(kind: &str) -> Self {
        Self::Wrong(not_a_name(kind))
    }
}

fn not_a_name(kind: &str) -> String {
    format!("\"stream\" must be a string that is not empty, not {kind}")
}

/// Why a value of this kind is not a receipt.
pub(super) fn not_a_receipt(kind: &str) -> (ErrorCode, String) {
    (ErrorCode::BadAction, format!("\"receipt\" must be a string or a number (or null for none), not {kind}"))
}

/// Rejects receipts over [`LONGEST_RECEIPT`] bytes, as sent.
pub(super) fn check_receipt(length: usize) -> Result<(), (ErrorCode, String)> {
    if length <= LONGEST_RECEIPT {
        return Ok(());
    }
    Err((ErrorCode::Limit, format!("\"receipt\" takes {length} bytes: the most is {LONGEST_RECEIPT}, which is no setting")))
}

impl<'a> Asked<'a> {
    /// The action.
    pub(super) fn action(self, limits: &DecodeLimits) -> Result<Action<'a>, Mistake> {
        let Self { broken, verb, stream, receipt, message, header, terms, verbatim } = self;
        // The client gets back what could be read of its unit.
        let mistake = |code, reason| Mistake {
            code,
            reason,
            stream: if let StreamMember::Named(name) = &stream { Some(name.clone().into_owned()) } else { None },
            receipt: receipt.as_ref().ok().cloned().flatten(),
        };

        if let Some(reason) = broken {
            return Err(mistake(ErrorCode::BadJson, reason));
        }
        let verb = verb.map_err(|reason| mistake(ErrorCode::BadAction, reason))?;
        if let Err((code, reason)) = &receipt {
            return Err(mistake(*code, reason.clone()));
        }
        let rule = verb.rule();
        let prefix = if matches!(verb, Verb::Listen | Verb::Hangup) { terms.prefix(limits) } else { Ok(None) };
        let prefix = prefix.map_err(|reason| mistake(ErrorCode::BadStream, reason))?;
        let text = match (&stream, rule.target) {
            (StreamMember::Absent | StreamMember::Null, Target::Stream) if prefix.is_some() => None,
            (StreamMember::Named(_), _) if prefix.is_some() => {
                let reason = format!("\"{}\" has either a stream or a prefix, not both", rule.word);
                return Err(mistake(ErrorCode::BadStream, reason));
            }
            (_, Target::Connection) | (StreamMember::Absent, Target::StreamOrAll | Target::StreamOrConnection) => None,
            (StreamMember::Null, Target::StreamOrAll) => None,
            (StreamMember::Absent, Target::Stream) => {
                let reason = format!("\"{}\" needs a stream: add \"stream\":\"NAME\"", rule.word);
                return Err(mistake(ErrorCode::MissingStream, reason));
            }
            (StreamMember::Null, _) => return Err(mistake(ErrorCode::BadStream, not_a_name("null"))),
            (StreamMember::Wrong(reason), _) => return Err(mistake(ErrorCode::BadStream, reason.clone())),
            (StreamMember::Named(text), _) => Some(text),
        };
        if let Some(text) = text
            && rule.writes
            && is_reserved(text.as_bytes())
        {
            let Mistake { code, reason, .. } = refusal::reserved(verb, text);
            return Err(mistake(code, reason));
        }
        let name = match text.map(|text| StreamName::new(text).map(Name::New)).transpose() {
            Ok(name) => name,
            Err(empty) => return Err(mistake(ErrorCode::BadStream, empty.to_string())),
        };
        if rule.message == Need::Must && message.is_none() {
            let reason = format!("\"{}\" needs a message: add \"message\":VALUE, any JSON value, null included", rule.word);
            return Err(mistake(ErrorCode::MissingMessage, reason));
        }
        let wrong = |reason| mistake(ErrorCode::BadAction, reason);
        let (mut start, mut starts, mut of, mut absent) = (None, None, None, false);
        if verb == Verb::Listen && prefix.is_some() {
            starts = terms.starts().map_err(wrong)?;
        } else if verb == Verb::Listen {
            start = terms.start().map_err(wrong)?;
        }
        if rule.writes && name.is_some() {
            of = terms.epoch().map_err(wrong)?;
        }
        if verb == Verb::Header {
            absent = terms.absent().map_err(wrong)?;
        }
        let token = if verb == Verb::Auth { Some(terms.token().map_err(wrong)?) } else { None };
        let session = if verb == Verb::Session { Some(terms.session().map_err(wrong)?) } else { None };
        let message = message.map(|content| Payload { content, verbatim: verbatim && verb == Verb::Put });
        let header = header.map(|content| Payload { content, verbatim: false });
        let durable = match (&receipt, terms.durable.is_some()) {
            (Ok(receipt), true) => terms.durable(verb, receipt.as_ref()).map_err(wrong)?,
            (Ok(_) | Err(_), _) => false,
        };
        let receipt = receipt.unwrap_or_default().map(|receipt| if durable { receipt.durable() } else { receipt });
        let action = match (verb, name) {
            (Verb::Put, Some(stream)) => message.map(|message| Action::Put { stream, message, header, of, receipt }),
            (Verb::Header, Some(stream)) => message.map(|message| Action::Header { stream, message, of, absent, receipt }),
            (Verb::Listen, Some(stream)) => Some(Action::Listen { stream, start, receipt }),
            (Verb::Listen, None) => prefix.map(|prefix| Action::ListenPrefix { prefix, start: starts, receipt }),
            (Verb::Hangup, stream) => Some(match prefix {
                Some(prefix) => Action::HangupPrefix { prefix, receipt },
                None => Action::Hangup { stream, receipt },
            }),
            (Verb::Close, Some(stream)) => Some(Action::Close { stream, message, of, receipt }),
            (Verb::Close, None) => Some(Action::CloseConnection { receipt }),
            (Verb::Delete, Some(stream)) => Some(Action::Delete { stream, message, of, receipt }),
            (Verb::Will, Some(stream)) => Some(Action::Will { stream, message, receipt }),
            (Verb::Auth, _) => token.map(|token| Action::Auth { token, receipt }),
            (Verb::Session, _) => session.map(|session| Action::Session { session, receipt }),
            (Verb::Ping, _) => Some(Action::Ping { receipt }),
            (Verb::Put | Verb::Header | Verb::Delete | Verb::Will, None) => None,
        };
        // Required members were checked above.
        action.ok_or_else(|| Mistake::new(ErrorCode::BadAction, format!("\"{}\" lacks a member", rule.word)))
    }
}

/// Why there is no verb: the key is missing.
pub(super) fn no_verb() -> String {
    format!("the key \"action\" is missing: it must be one of {}", words().join(", "))
}

/// Why there is no verb: the value is of this kind.
pub(super) fn not_a_verb(kind: &str) -> String {
    format!("\"action\" must be a string, one of {}, not {kind}", words().join(", "))
}

/// Why there is no verb: there is no such word.
pub(super) fn unknown_verb(word: &str) -> String {
    unknown_action(word, &words())
}

fn words() -> [&'static str; Verb::ALL.len()] {
    Verb::ALL.map(Verb::word)
}

#[cfg(test)]
mod tests {
    use super::{Need, Target, Verb};
    use crate::wire::json_lines::JsonLines;
    use crate::wire::{Codec, DecodeLimits, ErrorCode};

    /// The mistake in a line, if there is one.
    fn mistake(verb: Verb, members: &str) -> Option<ErrorCode> {
        // Only one of them has a session, and one a token; to the others these are any members.
        let line = format!("{{\"action\":\"{}\",\"session\":\"sixteen letters!\",\"token\":\"t\"{members}}}\n", verb.word());
        let limits = DecodeLimits { line: 200, name: 10 };
        JsonLines::default().decode(line.as_bytes(), &limits).err().map(|mistake| mistake.code)
    }

    #[test]
    fn every_action_is_held_to_its_rule() {
        for verb in Verb::ALL {
            let rule = verb.rule();
            let nameless = (rule.target == Target::Stream).then_some(ErrorCode::MissingStream);
            assert_eq!(mistake(verb, ",\"message\":1"), nameless, "{verb:?}");
            let null = matches!(rule.target, Target::Stream | Target::StreamOrConnection).then_some(ErrorCode::BadStream);
            assert_eq!(mistake(verb, ",\"stream\":null,\"message\":1"), null, "{verb:?}");
            let empty = (rule.message == Need::Must).then_some(ErrorCode::MissingMessage);
            assert_eq!(mistake(verb, ",\"stream\":\"s\""), empty, "{verb:?}");
            let reserved = rule.writes.then_some(ErrorCode::Denied);
            assert_eq!(mistake(verb, ",\"stream\":\"$s\",\"message\":1"), reserved, "{verb:?}");
        }
    }
}
