//! What a client's handles and its connection share: what is to be sent, who waits for what. Pure, under one lock.
//!
//! [`taking`] is what becomes of the broker's words, [`listening`] who listens to which stream, [`prefixes`] who to streams by a prefix.
//! [`reconnected`] prepares for a new connection; [`resumed`] does so where the broker knows what it has taken.

mod followed;
mod listening;
mod members;
mod prefixes;
mod reconnected;
mod resumed;
mod taking;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::job::content::NonFinite;
use crate::wire::subscriber::{Event, Reason, Receipt};
use crate::wire::{Epoch, SessionName, Token, Verb};

use super::error::ClientError;
use super::options::Options;
use super::request;
use super::resume::{Found, Kind, Lines, Mark, Part};

use followed::Followed;
use members::Prefixes;

/// Changes to the headers that a new connection repeats: each stream's last header, as a line, or none.
type Headers = HashMap<String, Option<Bytes>>;

/// What is known of an action that was to be durable.
const NOT_DURABLE: &str = "the broker has taken the action, but its word that it is durable was lost; say it again to be sure";

/// Waits for an answer.
pub(super) type Answer = oneshot::Sender<Result<Receipt, ClientError>>;

/// One action, ready to be sent.
pub(super) struct Line {
    pub(super) bytes: Vec<u8>,
    /// Who waits for its receipt.
    pub(super) answer: Option<(u64, Answer)>,
    /// What it does to its stream, if that matters to a new connection.
    pub(super) change: Option<Mark>,
    /// Whether it is an action of the program, and not a question of the client.
    pub(super) is_action: bool,
    /// Whether its receipt says that it is durable.
    pub(super) is_durable: bool,
}

/// Lines that are written together.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    /// What of it a new connection does not simply repeat.
    parts: Vec<Part>,
    /// The receipt of the ping at its end, if it is kept until the broker has confirmed it.
    ping: Option<u64>,
    /// How many of the program's actions are in it.
    actions: usize,
    /// How many lines it has.
    lines: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Whether what is not confirmed is kept for a next connection.
    keeps: bool,
    /// Which session the connections belong to, if they are to belong to one.
    session: Option<SessionName>,
    /// A connection has asked for the session; until it is answered, nothing else is written. The receipt, and why the connection before
    /// was lost if there was one.
    opening: Option<(u64, Option<String>)>,
    /// A connection that has asked for the session was lost before the answer: if the broker had forgotten the session, it has begun one
    /// anew under the same name, and nobody was told.
    may_be_another: bool,
    /// Which life of the broker has answered for the session last.
    broker: Option<Epoch>,
    /// How many connections were lost before that answer: what they had sent may still reach the broker, and take the session away.
    unanswered: u32,
    /// How many lines of the session were taken and confirmed.
    taken: u64,
    /// How many of the program's actions were sent again although they may have taken effect.
    repeated: usize,
    /// How each stream is to end if this client is lost, as a line.
    wills: HashMap<String, Bytes>,
    streams: HashMap<String, Followed>,
    prefixes: Prefixes,
    /// The receipts of hangups under way: what comes of these streams until then is nobody's.
    hanging_up: HashMap<String, u64>,
    /// The last connection ended with something that this client cannot take: nobody resumes where that comes again.
    may_not_resume: bool,
    /// The receipts of listen actions under way.
    joins: HashMap<u64, String>,
    /// Who waits for the receipts of other actions.
    answers: BTreeMap<u64, Answer>,
    /// Those of them that say that something is durable: they may come long after it is confirmed.
    durable: BTreeSet<u64>,
    /// This client's last confirmed header of each stream, as a line. What is not confirmed is sent again anyway, behind
    /// these: a later header in front of it would make the stream go back.
    headers: HashMap<String, Bytes>,
    /// Changes to `headers` by the lines in `out`.
    changes: Headers,
    /// Lines that are to be written next.
    out: Lines,
    /// What a new connection asks first, before anything of `out` is written.
    questions: Vec<u8>,
    /// The receipts of the last questions about each stream: a hangup, or a header that is set again.
    asking: HashMap<u64, String>,
    /// What the answers say: the receipt of a stream's first question, and how the stream was found.
    found: BTreeMap<String, (u64, Found)>,
    /// How many of the program's actions are in `out`.
    actions: usize,
    /// Chunks that were written and are not confirmed, with their changes to `headers`.
    unconfirmed: VecDeque<(Chunk, Headers)>,
    /// Bytes to be written, or written and not confirmed.
    queued: usize,
    /// The latest receipt given out.
    latest: u64,
    /// The first action that was refused and that nobody waits for; the next flush tells.
    refused: Option<Reason>,
    /// This connection has brought a message that is no header, or the word that something was taken.
    has_moved: bool,
    /// Nobody holds a handle any more: the connection ends when all is sent.
    pub(super) leaving: bool,
    /// The connection is lost for good, and why.
    pub(super) over: Option<String>,
    /// It has ended because of what this client did.
    turned_away: bool,
}

impl State {
    pub(super) fn new(options: &Options) -> Self {
        let keeps = options.reconnect.is_some();
        let session = (keeps && options.session).then(random_session);
        Self { keeps, session, prefixes: Prefixes::new(options), ..Self::default() }
    }

    /// A new receipt.
    pub(super) fn next_receipt(&mut self) -> u64 {
        self.latest += 1;
        self.latest
    }

    /// Whether this many more bytes are within the limit. A line that is larger than the limit has room when nothing else waits.
    pub(super) fn has_room(&self, bytes: usize, limit: usize) -> bool {
        self.queued == 0 || self.queued + bytes <= limit
    }

    /// Queues a line. True if nothing was queued, so that the connection must be told.
    pub(super) fn send(&mut self, line: Line) -> bool {
        let receipt = line.answer.as_ref().map(|(receipt, _)| *receipt);
        if let Some((receipt, answer)) = line.answer {
            self.answers.insert(receipt, answer);
            self.durable.extend(line.is_durable.then_some(receipt));
        }
        self.actions += usize::from(line.is_action);
        match line.change {
            Some(mark) if self.keeps => {
                let header = mark.change.header();
                if header.is_none() {
                    self.wills.remove(&mark.stream);
                }
                self.changes.insert(mark.stream.clone(), header);
                self.append_part(&line.bytes, Kind::Change(mark))
            }
            Some(_) | None => match receipt.filter(|_| self.keeps) {
                Some(receipt) => self.append_part(&line.bytes, Kind::Asks(receipt)),
                None => self.append(&line.bytes),
            },
        }
    }

    /// Queues how a stream is to end if this client is lost; or that it is not, if there is no message in the line.
    pub(super) fn will(&mut self, stream: &str, line: Vec<u8>, has_message: bool) -> bool {
        let first = self.append_part(&line, Kind::Will);
        self.actions += 1;
        if has_message {
            self.wills.insert(stream.to_owned(), line.into());
        } else {
            self.wills.remove(stream);
        }
        first
    }

    /// How many of the program's actions were sent again although they may have taken effect.
    pub(super) fn repeated(&self) -> usize {
        self.repeated
    }

    /// What is to be written next; none if nothing waits.
    pub(super) fn next_chunk(&mut self) -> Option<Chunk> {
        if self.opening.is_some() {
            return None;
        }
        if !self.questions.is_empty() {
            let bytes: Bytes = std::mem::take(&mut self.questions).into();
            let parts = vec![Part { at: 0..bytes.len(), kind: Kind::Own }];
            let chunk = Chunk { lines: lines(&bytes), bytes, parts, ping: None, actions: 0 };
            self.queued += chunk.bytes.len();
            self.unconfirmed.push_back((chunk.clone(), Headers::new()));
            return Some(chunk);
        }
        if self.out.bytes.is_empty() || !self.asking.is_empty() {
            return None;
        }
        let mut ping = None;
        if self.keeps {
            let receipt = self.next_receipt();
            self.append_bare(Verb::Ping, None, Some(receipt));
            ping = Some(receipt);
        }
        let Lines { bytes, parts } = std::mem::take(&mut self.out);
        let chunk = Chunk { lines: lines(&bytes), bytes: bytes.into(), parts, ping, actions: std::mem::take(&mut self.actions) };
        if self.keeps {
            self.unconfirmed.push_back((chunk.clone(), std::mem::take(&mut self.changes)));
        }
        Some(chunk)
    }

    /// How many of the program's actions wait to be written or, if what is not confirmed is kept, to be confirmed.
    pub(super) fn waiting(&self) -> usize {
        self.actions + self.unconfirmed.iter().map(|(chunk, _)| chunk.actions).sum::<usize>()
    }

    /// Says who the client is: before all else, and not counted among its lines.
    pub(super) fn introduction(&mut self, token: &Token) -> Chunk {
        let bytes = request::auth_line(token);
        if !self.keeps {
            self.queued += bytes.len();
        }
        Chunk { bytes: bytes.into(), parts: Vec::new(), ping: None, actions: 0, lines: 0 }
    }

    /// What a connection begins with: its session, or a question if what waits is long, since a broker gives a first line little time.
    pub(super) fn greeting(&mut self, long: usize) -> Option<Chunk> {
        if let (Some(session), Some((receipt, _))) = (&self.session, &self.opening) {
            let bytes = request::session_line(session, *receipt);
            return Some(Chunk { bytes: bytes.into(), parts: Vec::new(), ping: None, actions: 0, lines: 0 });
        }
        if self.questions.len().max(self.out.bytes.len()) < long {
            return None;
        }
        let bytes = bare_line(Verb::Ping, None, None);
        if !self.keeps {
            self.queued += bytes.len();
        }
        Some(Chunk { bytes: bytes.into(), parts: Vec::new(), ping: None, actions: 0, lines: 1 })
    }

    /// Whether the connection that has ended has brought its listeners or its publishers further.
    pub(super) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }

    /// Whether nothing that was written has yet to be confirmed.
    pub(super) fn is_confirmed(&self) -> bool {
        self.unconfirmed.is_empty() && self.asking.is_empty() && self.opening.is_none()
    }

    /// A chunk was written. True if there is room again.
    pub(super) fn written(&mut self, chunk: &Chunk) -> bool {
        if self.keeps {
            return false;
        }
        self.queued -= chunk.bytes.len();
        true
    }

    /// Asks the broker for an answer, unless something that waits does so.
    pub(super) fn ping_if_idle(&mut self) {
        if self.out.bytes.is_empty() && self.questions.is_empty() && self.opening.is_none() {
            self.ping();
        }
    }

    /// Asks the broker for an answer.
    pub(super) fn ping(&mut self) {
        self.append_bare(Verb::Ping, None, None);
    }

    /// The error of every call once the connection has ended for good.
    pub(super) fn failure(&self) -> Option<ClientError> {
        let why = self.over.as_ref()?;
        let refused = self.refused.as_ref().filter(|_| self.turned_away);
        Some(refused.map_or_else(|| ClientError::Lost(why.clone()), |reason| reason.clone().into()))
    }

    /// The connection has ended for good: everybody who waits is told.
    pub(super) fn end(&mut self, last: &Event, why: &str) {
        self.over = Some(why.to_owned());
        if let Event::CutOff(reason) = last
            && reason.is_refusal()
        {
            self.turned_away = true;
            // The first refusal says more than that there were too many.
            self.refused.get_or_insert_with(|| reason.clone());
        }
        self.prefixes.end(last);
        for (_, mut followed) in in_order(std::mem::take(&mut self.streams)) {
            followed.listened.tell(last);
        }
        self.joins.clear();
        for (_, answer) in std::mem::take(&mut self.answers) {
            // The caller may have stopped waiting.
            let _ = answer.send(Err(self.failure().unwrap_or_else(|| ClientError::Lost(why.to_owned()))));
        }
        (self.actions, self.out, self.queued) = (self.waiting(), Lines::default(), 0);
        self.unconfirmed.clear();
    }

    fn answer(&mut self, receipt: u64, answer: Result<Receipt, ClientError>) {
        self.durable.remove(&receipt);
        if let Some(waits) = self.answers.remove(&receipt) {
            let _ = waits.send(answer);
        }
    }

    /// Tells whoever waits for the receipt of what has taken effect, which was lost.
    fn answer_taken(&mut self, receipt: u64) {
        let answer = if self.durable.contains(&receipt) { Err(ClientError::Lost(NOT_DURABLE.to_owned())) } else { Ok(Receipt::default()) };
        self.answer(receipt, answer);
    }

    /// A new connection repeats what is in `out`: no receipt comes any more for all else that was to be durable.
    fn give_up_durable(&mut self) {
        if self.durable.is_empty() {
            return;
        }
        let repeated: BTreeSet<u64> = self.out.parts.iter().filter_map(Part::receipt).collect();
        let lost: Vec<_> = self.durable.difference(&repeated).copied().collect();
        lost.into_iter().for_each(|receipt| self.answer_taken(receipt));
    }

    fn append_own(&mut self, action: Verb, stream: &str, receipt: Option<u64>) -> bool {
        self.append_part(&bare_line(action, Some(stream), receipt), Kind::Own)
    }

    fn append_bare(&mut self, action: Verb, stream: Option<&str>, receipt: Option<u64>) -> bool {
        self.append(&bare_line(action, stream, receipt))
    }

    fn append_part(&mut self, line: &[u8], kind: Kind) -> bool {
        let first = self.out.bytes.is_empty();
        self.out.push_part(line, kind);
        self.queued += line.len();
        first
    }

    fn append(&mut self, line: &[u8]) -> bool {
        let first = self.out.bytes.is_empty();
        self.out.bytes.extend_from_slice(line);
        self.queued += line.len();
        first
    }
}

/// The streams by name, so that whatever is done to all of them is done in the same order each time.
fn in_order<T>(streams: HashMap<String, T>) -> Vec<(String, T)> {
    let mut streams: Vec<_> = streams.into_iter().collect();
    streams.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    streams
}

/// How many lines these are.
fn lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// A name that nobody can guess, and that no copy of this process makes as well.
fn random_session() -> SessionName {
    // The standard library's hashers have random keys.
    let keys = RandomState::new();
    let own = (std::process::id(), SystemTime::now().duration_since(UNIX_EPOCH).ok());
    let text: String = (0..2).map(|part| format!("{:016x}", keys.hash_one((own, part)))).collect();
    // Of the right length.
    SessionName::new(&text).unwrap_or_else(|| unreachable!("a name of 32 characters"))
}

/// What a client ends its connection with.
pub(super) fn farewell() -> Vec<u8> {
    bare_line(Verb::Close, None, None)
}

/// An action without content, as a line.
fn bare_line(action: Verb, stream: Option<&str>, receipt: Option<u64>) -> Vec<u8> {
    let mut line = Vec::with_capacity(64);
    // A name is a text, which can always be written.
    let _ = request::bare(action, stream, receipt).write(NonFinite::Null, &mut line);
    line
}
