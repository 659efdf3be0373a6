//! What stands between a client and the core where not everybody may do everything: it lets the client in, and then holds each action to
//! the client's rights.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use tokio::time::Instant;
use tracing::warn;

use crate::broker::access::{Access, Identity, Origin, Place, Proof, Refusal};
use crate::broker::actor::Stats;
use crate::wire::ids::{ConnectionId, StreamName};
use crate::wire::refusal::{self, AUTH_REQUIRED};
use crate::wire::units::Span;
use crate::wire::{Action, ErrorCode, Mistake, Name, ReceiptId, Token, Verb};

use super::context::ConnectionContext;
use super::transport::Transport;

/// What comes before a client is let in is one short line: a longer one is refused before it has come, so that no stranger takes memory.
pub(super) const LONGEST_FIRST: usize = 4096;

/// The guard of a connection; none where everybody may do everything.
pub(super) type Guarded = Option<Box<Guard>>;

/// See the module.
#[derive(Debug)]
pub(super) struct Guard {
    access: Arc<Access>,
    stats: Arc<Stats>,
    id: ConnectionId,
    /// Who it is, once that is known.
    identity: Option<Arc<Identity>>,
    /// Its place among those that wait to be let in.
    waits: Option<Place>,
    /// The chance that is left to one that is to make room.
    chance: Option<LastChance>,
    /// Where it comes from.
    origin: Origin,
    /// The same for people, until the first line has come.
    peer: Box<str>,
    /// Whether it may publish to the stream that the codec keeps the name of, if that was the last to be asked for.
    may_publish: Option<bool>,
}

/// What one that is to make room is still given, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LastChance {
    /// A turn, after which it is known whether something has come.
    Turn,
    /// A read.
    Read,
}

/// What becomes of what a client has said.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It may.
    Passes,
    /// It may not, and is told.
    Refused(Mistake),
    /// The connection ends.
    TurnedAway(ErrorCode, String),
}

impl Guard {
    /// The guard of a new connection, where one is needed, with the place that it has already, if it has one.
    pub(super) fn of<T: Transport>(transport: &T, id: ConnectionId, context: &ConnectionContext, place: Option<Place>) -> Guarded {
        let access = context.access.clone()?;
        let (origin, stats) = (transport.origin(), Arc::clone(&context.stats));
        let waits = Some(place.unwrap_or_else(|| access.enter(origin)));
        let peer = transport.peer().into();
        Some(Box::new(Self { access, stats, id, identity: None, waits, chance: Some(LastChance::Turn), origin, peer, may_publish: None }))
    }

    /// Ready when it has waited for long, and others are to have its place.
    pub(super) fn poll_evicted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.waits.as_mut().map_or(Poll::Pending, |place| place.poll_evicted(cx))
    }

    /// Whether this chance is left. After it, only those behind it are.
    pub(super) fn takes_chance(&mut self, chance: LastChance) -> bool {
        let is_left = self.chance.is_some_and(|left| left <= chance);
        if is_left {
            self.chance = (chance == LastChance::Turn).then_some(LastChance::Read);
        }
        is_left
    }

    /// Lets in who is known without a token. The actor must know the connection before, or could not end it.
    pub(super) fn recognise<T: Transport>(&mut self, transport: &T) {
        let user = if let Origin::User(user) = self.origin { Some(Proof::UnixUser(user)) } else { None };
        let certificate = transport.certificate().map(|name| Proof::Certificate((*name).into()));
        let now = SystemTime::now();
        self.identity = certificate.into_iter().chain(user).find_map(|proof| self.access.recognise(&proof, self.id, now));
        if self.identity.is_some() {
            self.waits = None;
        }
    }

    /// Whether it is known who the client is.
    pub(super) fn has_admitted(&self) -> bool {
        self.identity.is_some()
    }

    /// Judges a unit, decoded. `is_first`: nothing has come before it.
    pub(super) fn judge(&mut self, decoded: &Result<Option<Action<'_>>, Mistake>, is_first: bool) -> Verdict {
        match decoded {
            Ok(Some(Action::Auth { token, .. })) if is_first => self.admit(token),
            Ok(None) => Verdict::Passes,
            Ok(Some(action)) => match &self.identity {
                Some(identity) => check(identity, &mut self.may_publish, action),
                None => self.turn_away_silent(),
            },
            Err(_) if self.identity.is_some() => {
                // The codec may keep another name than the last that was asked for.
                self.may_publish = None;
                Verdict::Passes
            }
            // What was wrong is not said: there may be a token in it.
            Err(_) => self.turn_away_silent(),
        }
    }

    /// The client has not said who it is.
    fn turn_away_silent(&self) -> Verdict {
        Verdict::TurnedAway(ErrorCode::AuthRequired, self.silent().to_owned())
    }

    /// The same, as a count and a reason.
    pub(super) fn silent(&self) -> &'static str {
        self.stats.auth_required.add(1);
        AUTH_REQUIRED
    }

    /// The connection ends. Its id may be given to another one after this.
    pub(super) fn leave(&mut self) {
        if self.identity.take().is_some() {
            self.access.gone(self.id);
        }
        self.waits = None;
    }

    fn admit(&mut self, token: &Token) -> Verdict {
        // Whoever shows a token is who it says, and nobody else.
        if self.identity.take().is_some() {
            self.access.gone(self.id);
        }
        let now = Instant::now();
        let refused = match self.access.admit(token, self.origin, self.id, (now, SystemTime::now())) {
            Ok(identity) => {
                self.identity = Some(identity);
                self.waits = None;
                self.peer = Box::default();
                return Verdict::Passes;
            }
            Err(refused) => refused,
        };
        let reason = match refused {
            Refusal::Paused(pause) => {
                self.stats.auth_paused.add(1);
                let pause = Span(std::time::Duration::from_millis(1 + pause.as_millis() as u64));
                let reason = format!("too many tokens from this address were wrong; try again in {pause}");
                return Verdict::TurnedAway(ErrorCode::Limit, reason);
            }
            Refusal::Unknown => "nobody has this token: it was revoked, or is another broker's; ask who runs the broker for one".to_owned(),
            Refusal::Expired(name) => format!("the token of \"{name}\" has expired; ask who runs the broker for another one"),
        };
        self.stats.auth_failed.add(1);
        if let Some(unlogged) = self.access.log(now) {
            warn!(connection = self.id.0, peer = &*self.peer, reason, unlogged, "token refused");
        }
        Verdict::TurnedAway(ErrorCode::AuthFailed, reason)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Holds an action to the rights. `may_publish` is the verdict on the stream that the codec keeps the name of, if it was the last.
fn check(identity: &Identity, may_publish: &mut Option<bool>, action: &Action<'_>) -> Verdict {
    let rights = &identity.rights;
    let denied = |verb, what: &str, stream: Option<&StreamName>, receipt: &Option<ReceiptId>| {
        let mistake = refusal::denied(&identity.name, verb, what);
        Verdict::Refused(Mistake { stream: stream.map(|stream| stream.as_str().to_owned()), receipt: receipt.clone(), ..mistake })
    };
    // The codec says itself that a name is the one before; between, nothing else was asked for that could have changed it.
    let remembered = may_publish.take();
    let (verb, stream, receipt) = match action {
        Action::Put { stream, receipt, .. } => {
            let may = match (stream, remembered) {
                (Name::Again(_), Some(may)) => may,
                _ => rights.may_publish(stream.as_name().as_str()),
            };
            *may_publish = (!matches!(stream, Name::New(_))).then_some(may);
            return if may { Verdict::Passes } else { denied(Verb::Put, stream.as_name().as_str(), Some(stream.as_name()), receipt) };
        }
        Action::Header { stream, receipt, .. } => (Verb::Header, stream, receipt),
        Action::Close { stream, receipt, .. } => (Verb::Close, stream, receipt),
        Action::Delete { stream, receipt, .. } => (Verb::Delete, stream, receipt),
        Action::Will { stream, receipt, .. } => (Verb::Will, stream, receipt),
        Action::Listen { stream, receipt, .. } => {
            let name = stream.as_name();
            return if rights.may_listen(name.as_str()) {
                Verdict::Passes
            } else {
                denied(Verb::Listen, name.as_str(), Some(name), receipt)
            };
        }
        Action::ListenPrefix { prefix, receipt, .. } => {
            return if rights.may_listen_to_all(prefix.as_str()) {
                Verdict::Passes
            } else {
                denied(Verb::Listen, prefix.as_str(), None, receipt)
            };
        }
        // They concern the connection alone.
        Action::Hangup { .. }
        | Action::HangupPrefix { .. }
        | Action::CloseConnection { .. }
        | Action::Session { .. }
        | Action::Auth { .. }
        | Action::Ping { .. } => return Verdict::Passes,
    };
    let name = stream.as_name();
    if rights.may_publish(name.as_str()) { Verdict::Passes } else { denied(verb, name.as_str(), Some(name), receipt) }
}
