//! The log of a space, as NATS keeps it, with what may happen to it: it takes time, it is away, one node cannot reach it, what was said to be
//! not stored is, and what was forgotten to be stored is stored twice.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use msgstream::internal::broker::space::{Log, RecordId, Snapshot, Told};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// When all simulations begin, since 1970.
const BEGINNING: Duration = Duration::from_secs(1_700_000_000);

/// A node tries again after this.
const RETRY: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Stored {
    sequence: u64,
    at: Duration,
    id: RecordId,
    record: Vec<u8>,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    records: VecDeque<Stored>,
    last: u64,
    head: Option<Snapshot>,
    /// Nobody reaches it.
    is_away: bool,
    /// Who does not reach it.
    apart: Vec<bool>,
}

/// The log of a simulation.
#[derive(Debug)]
pub(crate) struct SharedLog {
    name: u64,
    born: Instant,
    delay: u64,
    state: Mutex<State>,
    changed: Notify,
}

impl SharedLog {
    pub(crate) fn new(nodes: usize, delay: u64, mut rng: Rng) -> Arc<Self> {
        let name = rng.u64(..);
        let state = State { rng, records: VecDeque::new(), last: 0, head: None, is_away: false, apart: vec![false; nodes] };
        Arc::new(Self { name, born: Instant::now(), delay, state: Mutex::new(state), changed: Notify::new() })
    }

    /// Fault: nobody reaches it, or all do again.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.state.lock().unwrap().is_away = is_away;
        self.changed.notify_waiters();
    }

    /// Fault: a node does not reach it, or does again.
    pub(crate) fn set_apart(&self, node: usize, is_apart: bool) {
        self.state.lock().unwrap().apart[node] = is_apart;
        self.changed.notify_waiters();
    }

    fn reaches(&self, node: usize) -> bool {
        let state = self.state.lock().unwrap();
        !state.is_away && !state.apart[node]
    }

    async fn pause(&self) {
        let delay = self.state.lock().unwrap().rng.u64(0..=self.delay);
        sleep(Duration::from_millis(delay)).await;
    }

    async fn reach(&self, node: usize) {
        while !self.reaches(node) {
            let _ = timeout(RETRY, self.changed.notified()).await;
        }
    }

    /// Stores a record, unless it is there. It may be forgotten that it is.
    fn store(&self, id: RecordId, record: Vec<u8>) {
        let mut state = self.state.lock().unwrap();
        let forgets = state.rng.u8(0..20) == 0;
        if !forgets && state.records.iter().rev().any(|stored| stored.id == id) {
            return;
        }
        state.last += 1;
        let (sequence, at) = (state.last, BEGINNING + self.born.elapsed());
        state.records.push_back(Stored { sequence, at, id, record });
        drop(state);
        self.changed.notify_waiters();
    }

    /// The first record behind this one; an error if it is gone.
    fn next(&self, behind: u64) -> Result<Option<Told>, String> {
        let state = self.state.lock().unwrap();
        if state.records.front().is_some_and(|first| first.sequence > behind + 1) {
            return Err("the records are gone".to_owned());
        }
        let stored = state.records.iter().find(|stored| stored.sequence > behind);
        Ok(stored.map(|stored| Told::Record { sequence: stored.sequence, at: stored.at, record: stored.record.clone() }))
    }

    /// A node begins to follow it. `tell` is false once nobody listens.
    pub(crate) fn follow(
        self: &Arc<Self>,
        node: usize,
        tasks: &mut JoinSet<()>,
        tell: impl Fn(Told) -> bool + Send + Sync + 'static,
    ) -> Port {
        let wanted = Arc::new(Wanted::default());
        let tell = Arc::new(tell);
        let (log, told) = (Arc::clone(self), Arc::clone(&tell));
        tasks.spawn(async move { log.read(node, &*told).await });
        let (log, wants) = (Arc::clone(self), Arc::clone(&wanted));
        tasks.spawn(async move { log.write(node, &wants, &*tell).await });
        Port(wanted)
    }

    async fn read(&self, node: usize, tell: &(impl Fn(Told) -> bool + Sync)) {
        self.reach(node).await;
        self.pause().await;
        let (snapshot, mut last) = {
            let state = self.state.lock().unwrap();
            (state.head.clone(), state.last)
        };
        let mut at = snapshot.as_ref().map_or(0, |snapshot| snapshot.cut);
        if !tell(Told::Begins { log: self.name, snapshot }) {
            return;
        }
        loop {
            if at >= last {
                last = u64::MAX;
                if !tell(Told::CaughtUp) {
                    return;
                }
            }
            self.reach(node).await;
            let told = match self.next(at) {
                Ok(Some(told)) => told,
                Ok(None) => {
                    let _ = timeout(RETRY, self.changed.notified()).await;
                    continue;
                }
                Err(why) => {
                    tell(Told::Over(why));
                    return;
                }
            };
            if let Told::Record { sequence, .. } = &told {
                at = *sequence;
            }
            self.pause().await;
            self.reach(node).await;
            let is_led = self.state.lock().unwrap().rng.u8(0..200) == 0;
            if is_led && !tell(Told::Led(at)) || !tell(told) {
                return;
            }
        }
    }

    async fn write(&self, node: usize, wanted: &Wanted, tell: &(impl Fn(Told) -> bool + Sync)) {
        loop {
            wanted.changed.notified().await;
            if let Some((snapshot, forget)) = wanted.snapshot.lock().unwrap().take() {
                let cut = snapshot.cut;
                if self.reaches(node) {
                    let mut state = self.state.lock().unwrap();
                    if state.head.as_ref().is_none_or(|head| head.cut < cut) {
                        state.head = Some(snapshot);
                    }
                    state.records.retain(|stored| stored.sequence > forget);
                    drop(state);
                    tell(Told::Kept(Ok(cut)));
                } else {
                    tell(Told::Kept(Err("nobody is there".to_owned())));
                }
            }
            loop {
                let Some((id, record)) = wanted.record.lock().unwrap().clone() else { break };
                self.reach(node).await;
                self.pause().await;
                // It may be replaced, or stored and not known to be.
                let (is_lost, is_unknown) = {
                    let mut state = self.state.lock().unwrap();
                    (state.rng.u8(0..30) == 0, state.rng.u8(0..30) == 0)
                };
                if !is_lost {
                    self.store(id, record);
                }
                if is_lost || is_unknown {
                    sleep(RETRY).await;
                    continue;
                }
                let mut record = wanted.record.lock().unwrap();
                if record.as_ref().is_some_and(|(wanted, _)| *wanted == id) {
                    *record = None;
                    wanted.stored.notify_waiters();
                }
            }
        }
    }
}

#[derive(Debug, Default)]
struct Wanted {
    record: Mutex<Option<(RecordId, Vec<u8>)>>,
    snapshot: Mutex<Option<(Snapshot, u64)>>,
    changed: Notify,
    stored: Notify,
}

/// The way of a node to the log.
pub(crate) struct Port(Arc<Wanted>);

impl Log for Port {
    fn append(&mut self, id: RecordId, record: Vec<u8>) {
        *self.0.record.lock().unwrap() = Some((id, record));
        self.0.changed.notify_one();
    }

    fn keep(&mut self, snapshot: Snapshot, forget: u64) {
        *self.0.snapshot.lock().unwrap() = Some((snapshot, forget));
        self.0.changed.notify_one();
    }

    fn taken(&mut self, _: u64) {}

    fn finish(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let stored = async {
                while self.0.record.lock().unwrap().is_some() {
                    let _ = timeout(RETRY, self.0.stored.notified()).await;
                }
            };
            let _ = timeout(Duration::from_secs(2), stored).await;
        })
    }
}
