//! What a test keeps, and what it finds: rows as texts, so that they can be compared.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use fastrand::Rng;
use msgstream::internal::broker::core::{Change, Restored, SavedEnd, SavedRun, SavedStream, SavedWill, SavedWindow, StreamChange};
use msgstream::internal::broker::store::{Loaded, Store, StoreError, Transaction};
use msgstream::internal::wire::ids::StreamName;
use msgstream::internal::wire::{Encode, Epoch, Event, Frame, Position, SessionName, json_lines, message_pack};

/// Since 1970.
pub(crate) const NOW: Duration = Duration::from_secs(1_700_000_000);

pub(crate) fn stream_name(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

pub(crate) fn session_name(name: &str) -> SessionName {
    SessionName::new(name).unwrap()
}

fn encoders() -> [&'static dyn Encode; 2] {
    [&json_lines::ENCODER, &message_pack::ENCODER]
}

/// A message of so many bytes and more, as a put or as an end.
pub(crate) fn unit(name: &StreamName, encoding: usize, length: usize, is_end: bool) -> Vec<u8> {
    let (message, mut out) = (format!("\"{}\"", "x".repeat(length)), Vec::new());
    let message = message.as_bytes();
    let event = if is_end { Event::Close { stream: name, message: Some(message) } } else { Event::Put { stream: name, message } };
    encoders()[encoding].encode_json(&event, &mut out);
    out
}

pub(crate) fn lasting(name: &StreamName, encoding: usize, length: usize, is_end: bool) -> Frame {
    Frame::lasting(unit(name, encoding, length, is_end).into(), encoders()[encoding])
}

pub(crate) fn run(name: &StreamName, encoding: usize, messages: u32, length: usize) -> Frame {
    Frame::new(unit(name, encoding, length, false).repeat(messages as usize).into(), messages, encoders()[encoding])
}

/// A stream that runs.
pub(crate) fn running(name: &StreamName, length: usize) -> SavedStream {
    let position = Position { epoch: Epoch::new(0xabc), sequence: 7 };
    SavedStream {
        position,
        bytes: 70,
        since: 1000,
        header_at: 2,
        header: Some(lasting(name, 0, length, false)),
        is_old: false,
        ended: None,
    }
}

/// All that a store holds: what is said of each name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Content {
    streams: BTreeMap<String, (String, String)>,
    windows: BTreeMap<String, String>,
    wills: BTreeMap<String, String>,
    sessions: BTreeMap<String, u64>,
    pub(crate) clock: Duration,
    pub(crate) life: Option<Epoch>,
}

fn frame(frame: &Frame) -> String {
    format!("{} {} {:x?}", frame.encoder().name(), frame.messages(), frame.bytes())
}

fn stands(SavedStream { since, header_at, header, is_old, ended, .. }: &SavedStream) -> String {
    let ended = ended.as_ref().map(|SavedEnd { forget_at, last }| (forget_at.as_millis(), last.as_ref().map(frame)));
    format!("{since} {header_at} {is_old} {:?} {ended:?}", header.as_ref().map(frame))
}

fn window(runs: &[SavedRun]) -> String {
    format!("{:?}", runs.iter().map(|(one, at)| (frame(one), at)).collect::<Vec<_>>())
}

fn will(SavedWill { session, last }: &SavedWill) -> String {
    format!("{:?} {}", session.as_ref().map(SessionName::as_str), frame(last))
}

fn position(position: Position, bytes: u64) -> String {
    format!("{position:?} {bytes}")
}

impl Content {
    /// All that is in a store, in the order that is promised.
    pub(crate) fn of(store: &mut Store) -> Result<Self, StoreError> {
        let Loaded { clock, life, began } = store.read_clock(NOW)?;
        assert_eq!(began, NOW);
        let mut content = Self { clock, life, ..Self::default() };
        store.load(&mut |restored| content.take(restored))?;
        Ok(content)
    }

    fn take(&mut self, restored: Restored) {
        let is_new = match restored {
            Restored::Session { name, taken } => self.sessions.insert(name.as_str().to_owned(), taken).is_none(),
            Restored::Stream { name, stream, runs } => {
                assert!(self.wills.is_empty() && self.sessions.is_empty(), "streams come first");
                if let Some(runs) = runs {
                    self.windows.insert(name.to_string(), window(&runs));
                }
                let row = (stands(&stream), position(stream.position, stream.bytes));
                self.streams.insert(name.to_string(), row).is_none()
            }
            Restored::Will { name, will: one } => {
                assert!(self.sessions.is_empty(), "sessions come last");
                self.wills.insert(name.to_string(), will(&one)).is_none()
            }
        };
        assert!(is_new, "it is handed over once");
    }

    /// What the store is to hold behind this.
    pub(crate) fn change(&mut self, change: &Change) {
        let name = change.name.to_string();
        match &change.stream {
            StreamChange::Forgotten => {
                self.streams.remove(&name);
                self.windows.remove(&name);
            }
            StreamChange::Moved { position: now, bytes } => self.streams.get_mut(&name).unwrap().1 = position(*now, *bytes),
            StreamChange::Stands(stream) => {
                self.streams.insert(name.clone(), (stands(stream), position(stream.position, stream.bytes)));
            }
        }
        match &change.will {
            Some(one) => self.wills.insert(name, will(one)),
            None => self.wills.remove(&name),
        };
    }

    pub(crate) fn window(&mut self, saved: &SavedWindow) {
        if let Some(stream) = &saved.stream {
            self.streams.insert(saved.name.to_string(), (stands(stream), position(stream.position, stream.bytes)));
        }
        self.windows.insert(saved.name.to_string(), window(&saved.runs));
    }

    pub(crate) fn session(&mut self, name: &SessionName, taken: u64) {
        self.sessions.insert(name.as_str().to_owned(), taken);
    }

    pub(crate) fn begin_life(&mut self) {
        self.windows.clear();
        self.sessions.clear();
        self.life = None;
    }

    /// Does something at random in both.
    pub(crate) fn wander(&mut self, rng: &mut Rng, work: &mut Transaction<'_>) -> Result<(), StoreError> {
        let name = stream_name(&format!("stream-{}", rng.u32(..30)));
        let position = Position { epoch: Epoch::new(rng.u64(..)), sequence: rng.u64(..) };
        let (bytes, encoding, length) = (rng.u64(..), rng.usize(..2), if rng.u32(..20) == 0 { 9000 } else { rng.usize(..1500) });
        let (since, header_at) = (rng.u64(..), rng.u32(..));
        let header = rng.bool().then(|| lasting(&name, encoding, length, false));
        let last = rng.bool().then(|| lasting(&name, encoding, length / 2, true));
        let ended = rng.bool().then(|| SavedEnd { forget_at: Duration::from_millis(rng.u64(..)), last });
        let stream = SavedStream { position, bytes, since, header_at, header, is_old: rng.bool(), ended };
        let is_there = self.streams.contains_key(name.as_str());
        match rng.u32(..10) {
            0 => {
                let messages = rng.u32(1..5);
                let runs = (0..rng.u32(..4)).map(|at| (run(&name, encoding, messages, length / 4), at)).collect();
                let saved = SavedWindow { stream: (!is_there).then_some(stream), name, runs };
                self.window(&saved);
                work.windows(std::slice::from_ref(&saved))
            }
            1 => {
                let name = session_name(&format!("a session of some client {}", rng.u32(..9)));
                self.session(&name, bytes);
                work.session(&name, bytes)
            }
            kind => {
                let stream = match kind {
                    2 => StreamChange::Forgotten,
                    3..=5 if is_there => StreamChange::Moved { position, bytes },
                    _ => StreamChange::Stands(stream),
                };
                let session = rng.bool().then(|| session_name("a session of nobody"));
                let will = (rng.u32(..4) == 0).then(|| SavedWill { session, last: lasting(&name, encoding, length, true) });
                let change = Change { name, stream, will };
                self.change(&change);
                work.changes(std::slice::from_ref(&change))
            }
        }
    }
}

/// One of its errors, as text.
#[track_caller]
pub(crate) fn refused<T: Debug>(outcome: Result<T, StoreError>) -> String {
    outcome.unwrap_err().to_string()
}
