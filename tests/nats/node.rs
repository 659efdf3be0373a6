//! A node, as far as it follows a log.

use std::collections::VecDeque;
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
    /// What was told while something else was waited for.
    records: VecDeque<(u64, Vec<u8>)>,
    others: VecDeque<Told>,
}

impl Node {
    pub(crate) fn on(settings: &NodesSettings) -> Self {
        let (tell, told) = unbounded_channel();
        let way = follow(settings, move |one| tell.send(one).is_ok()).unwrap();
        Self { way, life: fastrand::u64(..), appended: 0, told, records: VecDeque::new(), others: VecDeque::new() }
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

    /// Appends, and waits until it is told.
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

    pub(crate) fn keep(&mut self, cut: u64, pieces: &[&[u8]], forget: u64) {
        self.way.keep(Snapshot { cut, pieces: pieces.iter().map(|piece| piece.to_vec()).collect() }, forget);
    }

    async fn next(&mut self) -> Option<Told> {
        timeout(LONGEST, self.told.recv()).await.expect("nothing is told")
    }

    /// The next record, which is taken.
    pub(crate) async fn record(&mut self) -> (u64, Vec<u8>) {
        let (sequence, record) = self.untaken().await;
        self.way.taken(sequence);
        (sequence, record)
    }

    /// The next record, which is not taken.
    pub(crate) async fn untaken(&mut self) -> (u64, Vec<u8>) {
        loop {
            if let Some(record) = self.records.pop_front() {
                return record;
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

    pub(crate) async fn begins(&mut self) -> (u64, Option<Snapshot>) {
        match self.other().await {
            Told::Begins { log, snapshot } => (log, snapshot),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn caught_up(&mut self) {
        let other = self.other().await;
        assert!(matches!(other, Told::CaughtUp), "{other:?}");
    }

    pub(crate) async fn kept(&mut self) -> Result<u64, String> {
        match self.other().await {
            Told::Kept(kept) => kept,
            other => panic!("{other:?}"),
        }
    }

    /// What became of a snapshot; whatever else is told before.
    pub(crate) async fn whatever_is_kept(&mut self) -> Result<u64, String> {
        loop {
            if let Told::Kept(kept) = self.other().await {
                return kept;
            }
        }
    }

    /// Waits until it has begun, whatever else is told before.
    pub(crate) async fn has_begun(&mut self) {
        while !matches!(self.other().await, Told::Begins { .. }) {}
    }

    /// Waits until there is no way, whatever else is told before.
    pub(crate) async fn is_away(&mut self) {
        while !matches!(self.other().await, Told::Away(Some(_))) {}
    }

    pub(crate) async fn away(&mut self) -> Option<String> {
        match self.other().await {
            Told::Away(reason) => reason,
            other => panic!("{other:?}"),
        }
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
