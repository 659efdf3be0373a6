//! Who is let in, and what they may do: the table of identities, who of them is connected, and who tries.
//!
//! Knows nothing of sockets and of the actor. Whoever asks tells the time.

mod attempts;
mod file;
mod identity;
mod looks;
mod rights;
mod waiting;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::wire::Token;
use crate::wire::ids::ConnectionId;

use attempts::Attempts;
use identity::proven_by;
use waiting::Waiting;

pub use attempts::Origin;
pub use file::{Stamp, TokensError, check_name, parse_tokens, read_tokens};
pub use identity::{Digest, Identity, Proof};
pub use looks::Looks;
pub use rights::Rights;
pub use waiting::Place;

/// Who may do what, shared by all connections of a server.
#[derive(Debug)]
pub struct Access {
    file: PathBuf,
    /// The most connections that may wait to be let in.
    most_waiting: AtomicUsize,
    waiting: Arc<Mutex<Waiting>>,
    known: Mutex<Known>,
    attempts: Mutex<Attempts>,
    /// Held while the file is read, so that of two readings at once the later one counts.
    reading: Mutex<()>,
    looks: Mutex<Looks<Option<Stamp>>>,
}

#[derive(Debug, Default)]
struct Known {
    identities: Vec<Arc<Identity>>,
    /// Who is connected as whom.
    live: HashMap<ConnectionId, Arc<Identity>>,
    /// When the next of those who are connected may expire, if any does.
    next_expiry: Option<SystemTime>,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody has that token.
    Unknown,
    /// The token of this identity counts no more.
    Expired(Box<str>),
    /// So many have failed from there that nobody is let in for this time, whatever the token.
    Paused(Duration),
}

/// What reading the file again has done.
///
/// ```
/// use msgstream::broker::{Reloaded, Server};
///
/// // For a program that reads the file again on a signal of its own.
/// fn reload(server: &Server) -> Option<Reloaded> {
///     server.tokens()?.reload().ok()
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::bind(&["127.0.0.1:0".parse()?], &Default::default())?;
/// assert_eq!(reload(&server), None, "there is no file");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reloaded {
    /// How many identities there are now.
    pub identities: usize,
    /// How many connections were ended, since what they were let in with counts no more.
    pub ended: usize,
}

impl Access {
    /// Reads the file.
    ///
    /// # Errors
    /// [`TokensError`].
    pub fn load(file: &Path, most_waiting: usize) -> Result<Arc<Self>, TokensError> {
        // Before it is read, so that no change is missed.
        let looks = Mutex::new(Looks::new(Stamp::of(file)));
        Ok(Arc::new(Self { file: file.to_owned(), looks, ..Self::of(read_tokens(file)?, most_waiting) }))
    }

    /// For these identities, without a file.
    pub fn of(identities: Vec<Identity>, most_waiting: usize) -> Self {
        let known = Known { identities: identities.into_iter().map(Arc::new).collect(), ..Known::default() };
        Self {
            file: PathBuf::new(),
            most_waiting: AtomicUsize::new(most_waiting),
            waiting: Arc::default(),
            known: Mutex::new(known),
            attempts: Mutex::default(),
            reading: Mutex::default(),
            looks: Mutex::new(Looks::new(None)),
        }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A place for a connection that waits to be let in.
    pub fn enter(&self, origin: Origin) -> Place {
        Place::new(&self.waiting, origin, self.most_waiting.load(Ordering::Relaxed))
    }

    /// From now on this many.
    pub fn set_most_waiting(&self, most: usize) {
        self.most_waiting.store(most, Ordering::Relaxed);
    }

    /// Whose token this is. From now on the connection is theirs, until [`gone`](Self::gone).
    ///
    /// # Errors
    /// [`Refusal`]. One that is no pause counts as a failure of who comes from there, unless it is for a token that was wrong before.
    pub fn admit(&self, token: &Token, from: Origin, id: ConnectionId, now: (Instant, SystemTime)) -> Result<Arc<Identity>, Refusal> {
        if let Some(pause) = lock(&self.attempts).pause(from, now.0) {
            return Err(Refusal::Paused(pause));
        }
        // The table may not change between the look into it and the entry of who is connected.
        let mut known = lock(&self.known);
        let refusal = match proven_by(&known.identities, token) {
            Some(identity) if !identity.is_expired(now.1) => {
                let identity = Arc::clone(identity);
                known.connect(id, &identity);
                return Ok(identity);
            }
            Some(identity) => Refusal::Expired(identity.name.clone()),
            None => Refusal::Unknown,
        };
        drop(known);
        lock(&self.attempts).failed(from, &Digest::of(token), now.0);
        Err(refusal)
    }

    /// Who is proven without a token. From now on the connection is theirs, until [`gone`](Self::gone).
    pub fn recognise(&self, proof: &Proof, id: ConnectionId, now: SystemTime) -> Option<Arc<Identity>> {
        let mut known = lock(&self.known);
        let identity = known.identities.iter().find(|identity| identity.proof == *proof && !identity.is_expired(now)).cloned()?;
        known.connect(id, &identity);
        Some(identity)
    }

    /// The connection is nobody's any more. Its id may be given to another one after this.
    pub fn gone(&self, id: ConnectionId) {
        lock(&self.known).live.remove(&id);
    }

    /// The name of who has this connection, unless others are looking just now: whoever asks does not wait.
    pub(crate) fn try_name_of(&self, id: ConnectionId) -> Option<String> {
        let known = self.known.try_lock().ok()?;
        known.live.get(&id).map(|identity| identity.name.to_string())
    }

    /// The names of those who have these connections.
    pub fn names_of(&self, ids: impl IntoIterator<Item = ConnectionId>) -> Vec<Option<Box<str>>> {
        let known = lock(&self.known);
        ids.into_iter().map(|id| known.live.get(&id).map(|identity| identity.name.clone())).collect()
    }

    /// Whether a failure is to be logged, and how many were not since the last that was.
    pub fn log(&self, now: Instant) -> Option<u64> {
        lock(&self.attempts).log(now)
    }

    /// Reads the file again, and ends the connections of those who may less than before. After an error all is as before. A file that may
    /// be half written is an error.
    ///
    /// # Errors
    /// [`TokensError`].
    pub fn reload(&self, now: (Instant, SystemTime), end: impl FnMut(ConnectionId, String)) -> Result<Reloaded, TokensError> {
        self.reload_from(file::read, now, end)
    }

    fn reload_from(
        &self,
        read: impl FnOnce(&Path) -> Result<String, String>,
        now: (Instant, SystemTime),
        end: impl FnMut(ConnectionId, String),
    ) -> Result<Reloaded, TokensError> {
        let _alone = lock(&self.reading);
        // Before it is read, so that no change is missed.
        lock(&self.looks).reads(Stamp::of(&self.file));
        let read = read(&self.file).and_then(|text| {
            let before = lock(&self.known).identities.clone();
            file::parse_again(&text, &before)
        });
        let identities = read.map_err(|reason| {
            lock(&self.looks).failed(now.0);
            TokensError { file: self.file.clone(), reason }
        })?;
        Ok(self.replace(identities, now.1, end))
    }

    /// Looks whether the file is to be read again.
    pub fn has_changed(&self, now: Instant) -> bool {
        let found = Stamp::of(&self.file);
        lock(&self.looks).is_due(found, now)
    }

    /// Puts other identities in the place of those that there are. `end` is called for each connection that is to be ended, with the
    /// reason, before its id can be given to another one.
    pub fn replace(&self, identities: Vec<Identity>, now: SystemTime, mut end: impl FnMut(ConnectionId, String)) -> Reloaded {
        let mut known = lock(&self.known);
        known.identities = identities.into_iter().map(Arc::new).collect();
        let Known { identities, live, .. } = &mut *known;
        let before = live.len();
        live.retain(|id, held| {
            let same = identities.iter().find(|identity| identity.name == held.name && identity.proof == held.proof);
            let reason = match same {
                None => format!("\"{}\" was revoked", held.name),
                Some(now_held) if now_held.is_expired(now) => format!("\"{}\" has expired", held.name),
                Some(now_held) if !now_held.rights.cover(&held.rights) => {
                    format!("rights of \"{}\" were taken away; connect again", held.name)
                }
                Some(now_held) => {
                    // What it may besides counts from its next connection on; when it expires counts now.
                    *held = Arc::new(Identity { expires: now_held.expires, ..Identity::clone(held) });
                    return true;
                }
            };
            end(*id, reason);
            false
        });
        let ended = before - live.len();
        known.next_expiry = known.live.values().filter_map(|identity| identity.expires).min();
        Reloaded { identities: known.identities.len(), ended }
    }

    /// Ends the connections of those whose time is over. Costs next to nothing while there are none.
    pub fn expire(&self, now: SystemTime, mut end: impl FnMut(ConnectionId, String)) {
        let mut known = lock(&self.known);
        if known.next_expiry.is_none_or(|next| next > now) {
            return;
        }
        known.live.retain(|id, held| {
            let is_expired = held.is_expired(now);
            if is_expired {
                end(*id, format!("\"{}\" has expired", held.name));
            }
            !is_expired
        });
        known.next_expiry = known.live.values().filter_map(|identity| identity.expires).min();
    }
}

impl Known {
    fn connect(&mut self, id: ConnectionId, identity: &Arc<Identity>) {
        self.live.insert(id, Arc::clone(identity));
        self.next_expiry = self.next_expiry.into_iter().chain(identity.expires).min();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
