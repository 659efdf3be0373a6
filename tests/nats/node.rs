//! A node, as far as it follows a log.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use msgstream::broker::NodesSettings;
use msgstream::internal::broker::nats::{Way, follow};
use msgstream::internal::broker::space::{Log, RecordId, Snapshot, Told};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

/// No test waits longer for anything. What does not come in this time will not come.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// Who follows a log, and keeps what it is told until it is asked for.
pub(crate) struct Node {
    pub(crate) way: Way,
    life: u64,
    appended: u64,
    told: UnboundedReceiver<Told>,
    /// Where the last record stood that was told.
    last: Option<u64>,
    /// The records that were told.
    seen: HashSet<Vec<u8>>,
    /// What was told while something else was waited for.
    records: VecDeque<(u64, Vec<u8>)>,
    others: VecDeque<Told>,
}

impl Node {
    pub(crate) fn on(settings: &NodesSettings) -> Self {
        let (tell, told) = unbounded_channel();
        let way = follow(settings, move |one| tell.send(one).is_ok()).unwrap();
        Self {
            way,
            life: fastrand::u64(..),
            appended: 0,
            told,
            last: None,
            seen: HashSet::new(),
            records: VecDeque::new(),
            others: VecDeque::new(),
        }
    }

    /// One that has begun with all that there is.
    pub(crate) async fn begun(settings: &NodesSettings) -> Self {
        let mut node = Self::on(settings);
        node.begins().await;
        node.caught_up().await;
        node
    }

    pub(crate) fn append(&mut self, record: impl Into<Vec<u8>>) {
        self.appended += 1;
        self.append_again(record);
    }

    /// The last one once more.
    pub(crate) fn append_again(&mut self, record: impl Into<Vec<u8>>) {
        self.way.append(RecordId { life: self.life, number: self.appended }, record.into());
    }

    /// Appends one of which there is no other, and waits until it is told.
    pub(crate) async fn say(&mut self, record: impl Into<Vec<u8>>) -> u64 {
        let record = record.into();
        self.append(record.clone());
        loop {
            let (sequence, told) = self.record().await;
            if told == record {
                return sequence;
            }
        }
    }

    /// Says so many, and returns where they stand.
    pub(crate) async fn say_some(&mut self, count: usize) -> Vec<u64> {
        let mut stand = Vec::new();
        for _ in 0..count {
            stand.push(self.say(format!("record {} of {}", self.appended, self.life)).await);
        }
        stand
    }

    pub(crate) fn keep(&mut self, cut: u64, pieces: &[&[u8]], forget: u64) {
        self.way.keep(Snapshot { cut, pieces: pieces.iter().map(|piece| piece.to_vec()).collect() }, forget);
    }

    async fn next(&mut self) -> Option<Told> {
        timeout(LONGEST, self.told.recv()).await.expect("nothing is told")
    }

    /// The next record, which is taken. One that was told before is passed over: what does not come back at once is sent again, and stored
    /// again, as often as a busy machine has it so.
    pub(crate) async fn record(&mut self) -> (u64, Vec<u8>) {
        loop {
            let (sequence, record) = self.untaken().await;
            self.way.taken(sequence);
            if self.seen.insert(record.clone()) {
                return (sequence, record);
            }
        }
    }

    /// The next record, which is not taken. None is left out, or told twice.
    pub(crate) async fn untaken(&mut self) -> (u64, Vec<u8>) {
        loop {
            if let Some((sequence, record)) = self.records.pop_front() {
                assert!(self.last.is_none_or(|last| last + 1 == sequence), "{sequence} behind {:?}", self.last);
                self.last = Some(sequence);
                return (sequence, record);
            }
            match self.next().await.expect("it has ended") {
                Told::Record { sequence, record, .. } => self.records.push_back((sequence, record)),
                other => self.others.push_back(other),
            }
        }
    }

    /// The next thing that is told and no record.
    async fn other(&mut self) -> Told {
        loop {
            if let Some(other) = self.others.pop_front() {
                return other;
            }
            match self.next().await.expect("it has ended") {
                Told::Record { sequence, record, .. } => self.records.push_back((sequence, record)),
                other => self.others.push_back(other),
            }
        }
    }

    /// The next thing that is told and no record, whatever is told before of the way and of who leads.
    async fn step(&mut self) -> Told {
        loop {
            let other = self.other().await;
            if !matches!(other, Told::Away(_) | Told::Led(_)) {
                return other;
            }
        }
    }

    pub(crate) async fn begins(&mut self) -> (u64, Option<Snapshot>) {
        match self.step().await {
            Told::Begins { log, snapshot } => (log, snapshot),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn caught_up(&mut self) {
        let other = self.step().await;
        assert!(matches!(other, Told::CaughtUp), "{other:?}");
    }

    pub(crate) async fn kept(&mut self) -> Result<u64, String> {
        match self.step().await {
            Told::Kept(kept) => kept,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until there is no way, whatever else is told before, and returns why.
    pub(crate) async fn is_away(&mut self) -> String {
        loop {
            if let Told::Away(Some(reason)) = self.other().await {
                return reason;
            }
        }
    }

    /// Waits until there is a way again, whatever else is told before.
    pub(crate) async fn is_back(&mut self) {
        while !matches!(self.other().await, Told::Away(None)) {}
    }

    /// At which record another server began to send the log; whatever else is told before.
    pub(crate) async fn led(&mut self) -> u64 {
        loop {
            if let Told::Led(sequence) = self.other().await {
                return sequence;
            }
        }
    }

    /// Why it cannot go on; whatever else is told before.
    pub(crate) async fn over(&mut self) -> String {
        loop {
            if let Told::Over(reason) = self.other().await {
                return reason;
            }
        }
    }

    /// Whether a record was told that was not asked for yet.
    pub(crate) fn has_more(&mut self) -> bool {
        while let Ok(told) = self.told.try_recv() {
            match told {
                Told::Record { sequence, record, .. } => self.records.push_back((sequence, record)),
                other => self.others.push_back(other),
            }
        }
        !self.records.is_empty()
    }

    /// Waits until nothing more can be told, without the way.
    pub(crate) async fn ended(self) {
        let Self { way, mut told, .. } = self;
        drop(way);
        while timeout(LONGEST, told.recv()).await.expect("it does not end").is_some() {}
    }
}
