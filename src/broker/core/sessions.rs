//! What outlives a connection: how much of what its client has said was taken.
//!
//! A session counts the lines that take effect or are refused. Its client counts what it writes, so that after a lost connection both
//! know from where to go on. One connection at a time holds a session; whatever else its former connection sent is not taken any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::wire::SessionName;
use crate::wire::ids::ConnectionId;

use super::saved::SavedSession;

/// What a session takes, in bytes of memory: its two names, its place, and one among those that were left.
pub(super) const SESSION: usize = 2 * (16 + SessionName::LONGEST) + 160;

/// Which session, as long as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SessionKey(u64);

#[derive(Debug)]
struct Session {
    /// None once its time is over: then it is unknown, though its wills may not all have taken effect.
    name: Option<SessionName>,
    /// How many lines have taken effect or been refused. None if it is of another life of the broker, which may have taken more than was
    /// saved: then its client finds it unknown.
    taken: Option<u64>,
    /// Who holds it, or since when nobody does.
    holder: Result<ConnectionId, Duration>,
}

/// What a connection has to do with sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Standing {
    #[default]
    Without,
    Holds(SessionKey),
    /// Another connection has taken its session over.
    Fenced,
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_name: BTreeMap<SessionName, SessionKey>,
    /// By key.
    known: BTreeMap<SessionKey, Session>,
    next: u64,
    /// Those that no connection holds, by the time since then.
    left: BTreeSet<(Duration, SessionKey)>,
    /// By connection id.
    standings: Vec<Standing>,
}

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The session that a connection holds.
    pub(super) fn held_by(&self, connection: ConnectionId) -> Option<SessionKey> {
        match self.standing(connection) {
            Standing::Holds(key) => Some(key),
            Standing::Without | Standing::Fenced => None,
        }
    }

    pub(super) fn standing(&self, connection: ConnectionId) -> Standing {
        self.standings.get(connection.index()).copied().unwrap_or_default()
    }

    fn stand(&mut self, connection: ConnectionId, standing: Standing) {
        if self.standings.len() <= connection.index() {
            if standing == Standing::Without {
                return;
            }
            self.standings.resize(connection.index() + 1, Standing::Without);
        }
        self.standings[connection.index()] = standing;
    }

    /// The session of this name, unless it is over.
    pub(super) fn find(&mut self, name: &SessionName, over: impl Fn(Duration) -> bool) -> Option<SessionKey> {
        let key = *self.by_name.get(name)?;
        let session = self.known.get_mut(&key)?;
        if session.holder.is_err_and(over) {
            session.name = None;
            self.by_name.remove(name);
            return None;
        }
        Some(key)
    }

    /// Gives a session to a connection, made if there is none of the name. Returns the connection that had it.
    pub(super) fn take_over(&mut self, key: Option<SessionKey>, name: &SessionName, by: ConnectionId) -> Option<ConnectionId> {
        let key = key.unwrap_or_else(|| {
            let key = SessionKey(self.next);
            self.next += 1;
            self.by_name.insert(name.clone(), key);
            self.known.insert(key, Session { name: Some(name.clone()), taken: Some(0), holder: Ok(by) });
            key
        });
        let session = self.known.get_mut(&key)?;
        let former = match std::mem::replace(&mut session.holder, Ok(by)) {
            Ok(former) => Some(former).filter(|former| *former != by),
            Err(since) => {
                self.left.remove(&(since, key));
                None
            }
        };
        if let Some(former) = former {
            self.stand(former, Standing::Fenced);
        }
        self.stand(by, Standing::Holds(key));
        former
    }

    /// Somebody comes back to a session. True if it is known how many of its lines were taken; from now on it is.
    pub(super) fn vouch_for(&mut self, key: SessionKey) -> bool {
        self.known.get_mut(&key).is_some_and(|session| session.taken.replace(session.taken.unwrap_or_default()).is_some())
    }

    /// So many lines of the connection have taken effect or been refused.
    pub(super) fn count(&mut self, connection: ConnectionId, lines: u64) {
        if let Some(session) = self.held_by(connection).and_then(|key| self.known.get_mut(&key)) {
            *session.taken.get_or_insert_default() += lines;
        }
    }

    /// How many lines of the connection's session have been taken.
    pub(super) fn taken(&self, connection: ConnectionId) -> u64 {
        self.held_by(connection).and_then(|key| self.known.get(&key)).and_then(|session| session.taken).unwrap_or_default()
    }

    /// The connection has ended. Its session waits for another one.
    pub(super) fn leave(&mut self, connection: ConnectionId, now: Duration) {
        if let Standing::Holds(key) = self.standing(connection)
            && let Some(session) = self.known.get_mut(&key)
        {
            session.holder = Err(now);
            self.left.insert((now, key));
        }
        self.stand(connection, Standing::Without);
    }

    /// Nobody comes back to a session.
    pub(super) fn forget(&mut self, key: SessionKey) {
        if let Some(session) = self.known.remove(&key) {
            if let Some(name) = session.name {
                self.by_name.remove(&name);
            }
            match session.holder {
                Ok(holder) => self.stand(holder, Standing::Without),
                Err(since) => drop(self.left.remove(&(since, key))),
            }
        }
    }

    /// Enters a session of another life of the broker, or one for all those who had none. None if there is one of the name.
    pub(super) fn restore(&mut self, name: Option<&SessionName>, taken: Option<u64>, left: Duration) -> Option<SessionKey> {
        if name.is_some_and(|name| self.by_name.contains_key(name)) {
            return None;
        }
        let key = SessionKey(self.next);
        self.next += 1;
        self.by_name.extend(name.map(|name| (name.clone(), key)));
        self.known.insert(key, Session { name: name.cloned(), taken, holder: Err(left) });
        self.left.insert((left, key));
        Some(key)
    }

    /// How many lines were taken of a session that was entered without that. False if there is none of the name.
    pub(super) fn restore_taken(&mut self, name: &SessionName, taken: u64) -> bool {
        let session = self.by_name.get(name).and_then(|key| self.known.get_mut(key));
        session.map(|session| session.taken = Some(taken)).is_some()
    }

    /// The name of a session that somebody may come back to.
    pub(super) fn name_of(&self, key: SessionKey) -> Option<&SessionName> {
        self.known.get(&key)?.name.as_ref()
    }

    /// The sessions that somebody may come back to and go on with, and how many of their lines were taken.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&SessionName, u64)> {
        self.known.values().filter_map(|session| Some((session.name.as_ref()?, session.taken?)))
    }

    /// All sessions, in the order of their keys.
    pub(super) fn saved(&self) -> impl Iterator<Item = (SessionKey, SavedSession)> {
        let saved = |Session { name, taken, holder }: &Session| SavedSession { name: name.clone(), taken: *taken, holder: *holder };
        self.known.iter().map(move |(key, session)| (*key, saved(session)))
    }

    /// The connections whose sessions others have taken over, and that have not ended yet.
    pub(super) fn fenced(&self) -> impl Iterator<Item = ConnectionId> {
        let fenced = self.standings.iter().enumerate().filter(|(_, standing)| **standing == Standing::Fenced);
        // Ids are u32, so that the index of one fits.
        fenced.map(|(index, _)| ConnectionId(index as u32))
    }

    /// A session that was entered as one that nobody holds has a holder.
    pub(super) fn hold(&mut self, key: SessionKey, holder: ConnectionId) {
        let Some(session) = self.known.get_mut(&key) else { return };
        if let Err(since) = std::mem::replace(&mut session.holder, Ok(holder)) {
            self.left.remove(&(since, key));
        }
        self.stand(holder, Standing::Holds(key));
    }

    /// Another connection has taken this one's session over.
    pub(super) fn fence(&mut self, connection: ConnectionId) {
        self.stand(connection, Standing::Fenced);
    }

    /// The session that has been left for longest, and since when.
    pub(super) fn first_left(&self) -> Option<(Duration, SessionKey)> {
        self.left.first().copied()
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn assert_invariants(&self) {
        let named = self.known.values().filter(|session| session.name.is_some()).count();
        assert_eq!(self.by_name.len(), named, "a name has no session");
        let mut left = 0;
        for (key, session) in &self.known {
            assert!(session.name.iter().all(|name| self.by_name.get(name) == Some(key)), "a session goes by another name");
            match session.holder {
                Ok(holder) => assert_eq!(self.standing(holder), Standing::Holds(*key), "{holder} does not know its session"),
                Err(since) => {
                    assert!(self.left.contains(&(since, *key)), "a session is never forgotten");
                    left += 1;
                }
            }
        }
        assert_eq!(self.left.len(), left, "a session was left by nobody");
    }
}
