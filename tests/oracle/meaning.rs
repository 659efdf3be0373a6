//! What a unit means, in plain values, and how a decoder is compared with what an oracle says.

use std::collections::BTreeMap;

use msgstream::internal::wire::ids::StreamName;
use msgstream::internal::wire::{
    Action, Codec, DecodeLimits, Epoch, ErrorCode, Mistake, Payload, Position, ReceiptId, Start, Starts, Token, UnitEnd,
};
use serde::Deserialize;

/// A limit on names so small that tests reach it.
pub(crate) const LIMITS: DecodeLimits = DecodeLimits { line: 1 << 20, name: 24 };

/// The verbs of the contract.
pub(crate) const VERBS: [&str; 10] = ["header", "put", "listen", "hangup", "close", "delete", "will", "session", "auth", "ping"];

/// What a unit means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one of them lives at a time")]
pub(crate) enum Meaning {
    /// Nothing.
    Blank,
    /// An action, with all that it holds.
    Action(Meant),
    /// A mistake: its code and, unless the unit is broken, the stream and the receipt that could be read beside it.
    Mistake(ErrorCode, Option<(Option<String>, Option<String>)>),
}

/// The parts of an action.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Meant {
    pub(crate) verb: &'static str,
    pub(crate) stream: Option<String>,
    pub(crate) message: Option<Vec<u8>>,
    pub(crate) verbatim: bool,
    pub(crate) header: Option<Vec<u8>>,
    pub(crate) receipt: Option<String>,
    pub(crate) terms: Terms,
}

/// What an action says of runs and of sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    of: Option<String>,
    absent: bool,
    after: Option<(String, u64)>,
    last: Option<u64>,
    session: Option<String>,
    token: Option<Token>,
    latest: bool,
    prefix: Option<String>,
    /// `after` of the listener of a prefix, by stream.
    afters: BTreeMap<String, (String, u64)>,
}

#[derive(Deserialize)]
struct AnyPosition {
    epoch: String,
    sequence: u64,
}

impl Terms {
    /// The terms of an action with this verb, from the JSON text of its members. None if one of those that it has is wrong.
    pub(crate) fn of_members(verb: &str, member: impl Fn(&str) -> Option<String>) -> Option<Self> {
        fn value<T: serde::de::DeserializeOwned>(text: Option<String>) -> Option<Option<T>> {
            text.map_or(Some(None), |text| serde_json::from_str(&text).ok())
        }
        // Whether only the newest message is wanted.
        let mode = |text: Option<String>| match value::<String>(text)? {
            Some(mode) => (mode == "latest").then_some(true),
            None => Some(false),
        };
        let position = |AnyPosition { epoch, sequence }| (shown(Epoch::of_text(&epoch)), sequence);
        let mut terms = Self::default();
        if ["listen", "hangup"].contains(&verb) {
            terms.prefix = value(member("prefix"))?;
        }
        if verb == "listen" && terms.prefix.is_some() {
            let after: Option<BTreeMap<String, AnyPosition>> = value(member("after"))?;
            terms.afters = after.unwrap_or_default().into_iter().map(|(name, after)| (name, position(after))).collect();
            if terms.afters.contains_key("") {
                return None;
            }
            terms.last = value(member("last"))?;
            terms.latest = mode(member("mode"))?;
        } else if verb == "listen" {
            terms.after = value(member("after"))?.map(position);
            terms.last = value(member("last"))?;
            terms.latest = mode(member("mode"))?;
        }
        if ["put", "header", "close", "delete"].contains(&verb) {
            terms.of = value::<String>(member("of"))?.map(|text| shown(Epoch::of_text(&text)));
        }
        if verb == "session" {
            let name = value::<String>(member("session"))?.filter(|name| (16..=128).contains(&name.len()))?;
            terms.session = Some(name);
        }
        if verb == "auth" {
            let is_good = |text: &String| (1..=256).contains(&text.len()) && text.chars().all(|letter| ('!'..='~').contains(&letter));
            let text = value::<String>(member("token"))?.filter(is_good)?;
            terms.token = Some(Token::new(&text).ok()?);
        }
        if verb == "header" {
            let condition: Option<String> = value(member("if"))?;
            terms.absent = condition.is_some();
            if condition.is_some_and(|condition| condition != "absent") {
                return None;
            }
        }
        Some(terms)
    }
}

/// The prefix that an action is about. `Err` if it is none.
pub(crate) fn prefix(verb: &str, member: Option<String>) -> Result<Option<String>, ()> {
    let Some(text) = member.filter(|_| ["listen", "hangup"].contains(&verb)) else { return Ok(None) };
    let prefix: Option<String> = serde_json::from_str(&text).map_err(drop)?;
    if prefix.as_ref().is_some_and(|prefix| prefix.len() > LIMITS.name) { Err(()) } else { Ok(prefix) }
}

fn shown(epoch: Epoch) -> String {
    epoch.to_string()
}

/// Compares a decoder with the oracle over every unit, with one decoder for all of them and a new one for each. The
/// decoder of all is asked twice, so that what it keeps of the first time is tried the second.
pub(crate) fn compare<C: Codec + Default>(bytes: &[u8], meaning: impl Fn(&[u8]) -> Meaning, decoded: impl Fn(&mut C, &[u8]) -> Meaning) {
    let mut codec = C::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = match codec.unit(rest, 0) {
            UnitEnd::Complete(end) => end,
            UnitEnd::Partial | UnitEnd::Announced(_) => rest.len(),
        };
        let (unit, after) = rest.split_at(end);
        let expected = meaning(unit);
        let shown = unit.escape_ascii();
        assert_eq!(decoded(&mut C::default(), unit), expected, "a new decoder, {shown}");
        assert_eq!(decoded(&mut codec, unit), expected, "a used decoder, {shown}");
        assert_eq!(decoded(&mut codec, unit), expected, "a used decoder, again, {shown}");
        rest = after;
    }
}

/// What the decoder makes of a unit.
pub(crate) fn decoded<C: Codec>(codec: &mut C, unit: &[u8]) -> Meaning {
    match codec.decode(unit, &LIMITS) {
        Ok(None) => Meaning::Blank,
        Ok(Some(action)) => Meaning::Action(meant(action)),
        Err(Mistake { code, reason, stream, receipt }) => {
            assert!(!reason.is_empty() && reason.len() < 600, "{reason:?}");
            let beside = (code != ErrorCode::BadJson).then(|| (stream, receipt.map(|receipt| receipt.text().to_owned())));
            Meaning::Mistake(code, beside)
        }
    }
}

fn meant(action: Action<'_>) -> Meant {
    let terms = match &action {
        Action::Put { of, .. } | Action::Close { of, .. } | Action::Delete { of, .. } => Terms { of: of.map(shown), ..Terms::default() },
        Action::Header { of, absent, .. } => Terms { of: of.map(shown), absent: *absent, ..Terms::default() },
        Action::Listen { start: Some(start), .. } => {
            let Start { after, last, latest } = **start;
            Terms { after: after.map(|Position { epoch, sequence }| (shown(epoch), sequence)), last, latest, ..Terms::default() }
        }
        Action::HangupPrefix { prefix, .. } => Terms { prefix: Some(prefix.as_str().to_owned()), ..Terms::default() },
        Action::ListenPrefix { prefix, start, .. } => {
            let Starts { after, last, latest } = start.as_deref().cloned().unwrap_or_default();
            let afters = after.iter().flat_map(|after| after.iter().map(|(name, position)| (name.to_owned(), position)));
            let afters = afters.map(|(name, Position { epoch, sequence })| (name, (shown(epoch), sequence))).collect();
            Terms { prefix: Some(prefix.as_str().to_owned()), afters, last, latest, ..Terms::default() }
        }
        Action::Session { session, .. } => Terms { session: Some(session.as_str().to_owned()), ..Terms::default() },
        Action::Auth { token, .. } => Terms { token: Some(token.clone()), ..Terms::default() },
        Action::Listen { start: None, .. }
        | Action::Hangup { .. }
        | Action::CloseConnection { .. }
        | Action::Will { .. }
        | Action::Ping { .. } => Terms::default(),
    };
    let flat =
        |verb, stream: Option<StreamName>, message: Option<Payload<'_>>, header: Option<Payload<'_>>, receipt: Option<ReceiptId>| Meant {
            verb,
            stream: stream.map(|stream| stream.as_str().to_owned()),
            verbatim: message.is_some_and(|message| message.verbatim),
            message: message.map(|message| message.content.to_vec()),
            header: header.map(|header| {
                assert!(!header.verbatim);
                header.content.to_vec()
            }),
            receipt: receipt.map(|receipt| receipt.text().to_owned()),
            terms: terms.clone(),
        };
    match action {
        Action::Put { stream, message, header, receipt, .. } => flat("put", Some(stream.into_name()), Some(message), header, receipt),
        Action::Header { stream, message, receipt, .. } => flat("header", Some(stream.into_name()), Some(message), None, receipt),
        Action::Listen { stream, receipt, .. } => flat("listen", Some(stream.into_name()), None, None, receipt),
        Action::ListenPrefix { receipt, .. } => flat("listen", None, None, None, receipt),
        Action::HangupPrefix { receipt, .. } => flat("hangup", None, None, None, receipt),
        Action::Hangup { stream, receipt } => flat("hangup", stream.map(|stream| stream.into_name()), None, None, receipt),
        Action::Close { stream, message, receipt, .. } => flat("close", Some(stream.into_name()), message, None, receipt),
        Action::CloseConnection { receipt } => flat("close", None, None, None, receipt),
        Action::Delete { stream, message, receipt, .. } => flat("delete", Some(stream.into_name()), message, None, receipt),
        Action::Will { stream, message, receipt } => flat("will", Some(stream.into_name()), message, None, receipt),
        Action::Session { receipt, .. } => flat("session", None, None, None, receipt),
        Action::Auth { receipt, .. } => flat("auth", None, None, None, receipt),
        Action::Ping { receipt } => flat("ping", None, None, None, receipt),
    }
}
