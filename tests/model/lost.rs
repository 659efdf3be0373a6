//! Sessions and wills, as the contract has them: who is lost, and what becomes of that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Model, Terms, close_line, core};

/// No multiple of a second, so that nothing else is over at the same time.
pub(crate) const SESSION_TIME: Duration = Duration::from_millis(6500);
pub(crate) const MOST_SESSIONS: usize = 2;

/// What a session takes, and a will beside its line, in bytes of memory.
const SESSION: usize = 448;
const WILL: usize = 160;

/// Whose a will is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Connection(u32),
    Session(usize),
}

#[derive(Debug)]
struct Session {
    /// How many sessions there were before.
    born: usize,
    taken: u64,
    /// Who holds it, or since when nobody does.
    holder: Result<u32, Duration>,
}

/// All sessions and wills.
#[derive(Debug, Default)]
pub(super) struct Lost {
    sessions: BTreeMap<usize, Session>,
    /// How many there have been.
    born: usize,
    wills: BTreeMap<String, (Owner, u16)>,
    /// Those whose session another connection has taken over.
    fenced: BTreeSet<u32>,
}

/// The name of a session, of the shortest length.
pub(crate) fn session_name(number: usize) -> String {
    format!("session number {number}")
}

impl Lost {
    pub(super) fn stored(&self) -> usize {
        let wills = self.wills.iter().map(|(stream, (_, text))| WILL + core::cost(&close_line(stream, *text)));
        SESSION * self.sessions.len() + wills.sum::<usize>()
    }

    fn held_by(&self, connection: u32) -> Option<usize> {
        self.sessions.iter().find(|(_, session)| session.holder == Ok(connection)).map(|(number, _)| *number)
    }

    fn owner(&self, connection: u32) -> Owner {
        self.held_by(connection).map_or(Owner::Connection(connection), Owner::Session)
    }
}

impl Model {
    /// Whether nothing is taken from the connection any more.
    pub(crate) fn is_fenced(&self, connection: u32) -> bool {
        self.lost.fenced.contains(&connection)
    }

    /// Lines of the connection were taken or refused.
    pub(crate) fn count(&mut self, connection: u32, lines: u64) {
        if let Some(session) = self.lost.held_by(connection).and_then(|number| self.lost.sessions.get_mut(&number)) {
            session.taken += lines;
        }
    }

    /// A connection begins with a session.
    pub(super) fn session(&mut self, from: u32, number: usize) {
        let known = self.lost.sessions.contains_key(&number);
        if !known {
            if self.lost.sessions.len() >= self.limits.sessions || self.stored() + SESSION > self.limits.stored {
                self.delivered.deliver(from, "{\"action\":\"error\",\"message\":{\"code\":\"limit\"}}\n".to_owned());
                return;
            }
            let born = self.lost.born;
            self.lost.born += 1;
            self.lost.sessions.insert(number, Session { born, taken: 0, holder: Ok(from) });
        }
        let Some(session) = self.lost.sessions.get_mut(&number) else { return };
        let taken = session.taken;
        if let Ok(former) = std::mem::replace(&mut session.holder, Ok(from))
            && former != from
        {
            self.delivered.finish(former, Some("{\"action\":\"close\",\"message\":{\"code\":\"taken_over\"}}\n".to_owned()));
            self.lost.fenced.insert(former);
            self.hang_up(former, None, true);
        }
        let name = session_name(number);
        self.delivered.deliver(from, format!("{{\"action\":\"session\",\"session\":\"{name}\",\"known\":{known},\"taken\":{taken}}}\n"));
    }

    pub(super) fn will(&mut self, from: u32, stream: &str, text: Option<u16>, receipt: bool) {
        let owner = self.lost.owner(from);
        let former = self.lost.wills.get(stream).copied();
        match text {
            None => {
                if former.is_some_and(|(other, _)| other == owner) {
                    self.lost.wills.remove(stream);
                }
            }
            Some(text) => {
                let cost = |text| WILL + core::cost(&close_line(stream, text));
                let more = cost(text).saturating_sub(former.map_or(0, |(_, text)| cost(text)));
                if self.stored() + more > self.limits.stored {
                    return self.refuse(from, "limit", stream, receipt);
                }
                self.lost.wills.insert(stream.to_owned(), (owner, text));
            }
        }
        self.answer(from, receipt, "", None);
    }

    /// A stream has ended or is forgotten.
    pub(super) fn clear_will(&mut self, stream: &str) {
        self.lost.wills.remove(stream);
    }

    /// The connection has said that it ends.
    pub(super) fn retire(&mut self, from: u32) {
        let owner = self.lost.owner(from);
        self.lost.wills.retain(|_, (other, _)| *other != owner);
        if let Owner::Session(number) = owner {
            self.lost.sessions.remove(&number);
        }
    }

    /// The connection has ended, whether it said so before or not.
    pub(super) fn lose(&mut self, from: u32) {
        self.carry_out(Owner::Connection(from));
        if let Some(session) = self.lost.held_by(from).and_then(|number| self.lost.sessions.get_mut(&number)) {
            session.holder = Err(self.now);
        }
        self.lost.fenced.remove(&from);
    }

    /// The time of sessions that nobody came back to is over, the longest left first.
    pub(super) fn lose_sessions(&mut self) {
        let since = |session: &Session| session.holder.err();
        let mut over: Vec<_> =
            self.lost.sessions.iter().filter_map(|(number, session)| Some((since(session)?, session.born, *number))).collect();
        over.sort_unstable();
        for (since, _, number) in over {
            if since + SESSION_TIME <= self.now {
                self.carry_out(Owner::Session(number));
                self.lost.sessions.remove(&number);
            }
        }
    }

    fn carry_out(&mut self, owner: Owner) {
        let of_owner: Vec<_> = self.lost.wills.iter().filter(|(_, (other, _))| *other == owner).map(|(stream, _)| stream.clone()).collect();
        for stream in of_owner {
            let Some((_, text)) = self.lost.wills.remove(&stream) else { continue };
            if !self.has_ended(&stream) {
                // A stream that nobody has seen may find no room.
                let _ = self.end(&stream, text, &Terms::default());
            }
        }
    }

    /// What a connection says that begins with a session.
    pub(crate) fn greeting(session: usize) -> String {
        format!("{{\"action\":\"session\",\"session\":\"{}\"}}\n", session_name(session))
    }
}
