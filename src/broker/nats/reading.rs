//! Reads the log from its snapshot on, over as many connections and consumers as it takes, and tells each record once.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::broker::space::{Snapshot, Told};

use super::api::{Api, Cluster, Fault, Info};
use super::credit::{Taken, Untaken};
use super::feed::{Delivery, Feed};
use super::pending::{Overdue, Pending};
use super::snapshot::Head;
use super::streams::Streams;
use super::telling::{GRACE, Teller, Trouble};
use super::watch::{Heard, LED_BY_ANOTHER, Watch};

/// After a failure, the next try waits this long, then twice as long each time, ...
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// ... up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What would be the end is believed when it is found so often in a row: a server that has just become the leader may be behind, ...
const BELIEVED: usize = 5;

/// ... and behind what was read of the log until all have agreed, which takes an election or two.
const BELIEVED_BEHIND: usize = 30;

/// A snapshot that is replaced while it is read is read anew so often.
const READINGS: usize = 5;

/// Why reading stopped.
enum Stop {
    /// It may go on later.
    Away(String),
    /// The same, since NATS has said no.
    Refused(String),
    /// If that is so, it never can.
    Doubt(String),
    /// The same, but there is less of the log than was read of it.
    Behind(String),
    /// It never can.
    Over(String),
}

impl Stop {
    fn why(&self) -> &str {
        match self {
            Self::Away(reason) | Self::Refused(reason) | Self::Doubt(reason) | Self::Behind(reason) | Self::Over(reason) => reason,
        }
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        if fault.is_refusal() { Self::Refused(fault.to_string()) } else { Self::Away(fault.to_string()) }
    }
}

/// How far a log was read.
struct Place {
    log: u64,
    next: u64,
    /// What was there at the beginning, as long as not all of it has been told.
    behind: Option<u64>,
    /// A record was told.
    has_read: bool,
}

/// Reads the log.
pub(super) struct Reader {
    pub(super) api: Api,
    pub(super) streams: Streams,
    pub(super) teller: Arc<Teller>,
    pub(super) trouble: Trouble,
    pub(super) taken: Arc<Taken>,
    /// Which log it is, for whoever keeps snapshots of it.
    pub(super) log: Arc<OnceLock<u64>>,
    pending: Arc<Pending>,
    untaken: Untaken,
    place: Option<Place>,
    /// The server that was found to lead the log last, if there are several.
    leader: Option<String>,
}

impl Reader {
    pub(super) fn new(
        api: Api,
        streams: Streams,
        teller: Arc<Teller>,
        trouble: Trouble,
        taken: Arc<Taken>,
        log: Arc<OnceLock<u64>>,
        pending: Arc<Pending>,
    ) -> Self {
        Self { api, streams, teller, trouble, taken, log, pending, untaken: Untaken::default(), place: None, leader: None }
    }

    /// Reads for ever.
    pub(super) async fn run(mut self) {
        let (mut pause, mut doubts) = (FIRST_PAUSE, 0);
        loop {
            self.connected().await;
            self.answered().await;
            let (before, began) = (self.next(), Instant::now());
            let stop = self.read().await;
            tracing::debug!(next = self.next(), elapsed = ?began.elapsed(), why = stop.why(), "reading of the log has stopped");
            if self.next() != before || began.elapsed() > LONGEST_PAUSE * 5 {
                (pause, doubts) = (FIRST_PAUSE, 0);
            }
            match stop {
                Stop::Doubt(reason) if doubts + 1 >= BELIEVED => return self.teller.tell(Told::Over(reason)),
                Stop::Behind(reason) if doubts + 1 >= BELIEVED_BEHIND => return self.teller.tell(Told::Over(reason)),
                Stop::Over(reason) => return self.teller.tell(Told::Over(reason)),
                Stop::Doubt(reason) | Stop::Behind(reason) => {
                    doubts += 1;
                    self.trouble.failed(&reason);
                }
                Stop::Away(reason) => {
                    doubts = 0;
                    self.trouble.failed(&reason);
                }
                Stop::Refused(reason) => {
                    doubts = 0;
                    self.trouble.refused(&reason);
                }
            }
            sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Waits for a connection.
    async fn connected(&mut self) {
        let link = self.api.link();
        while !link.is_up() {
            self.trouble.failed(&link.why_down());
            tokio::select! {
                () = link.up() => {}
                () = sleep(GRACE) => {}
            }
        }
    }

    /// Waits until a leader answers this node.
    async fn answered(&mut self) {
        while self.pending.is_lost() {
            self.trouble.failed(&self.api.link().why_silent());
            tokio::select! {
                () = self.pending.found() => {}
                () = sleep(GRACE) => {}
            }
        }
    }

    fn next(&self) -> Option<u64> {
        self.place.as_ref().map(|place| place.next)
    }

    /// Reads until something is wrong.
    async fn read(&mut self) -> Stop {
        let connection = self.api.link().connection();
        let mut feed = match self.open().await {
            Ok(feed) => feed,
            Err(stop) => return stop,
        };
        self.trouble.is_over();
        let heard = Arc::new(Heard::default());
        let watch = Watch {
            api: self.api.clone(),
            connection,
            stream: self.streams.names.log.clone(),
            server: feed.server().map(str::to_owned),
            pending: Arc::clone(&self.pending),
            heard: Arc::clone(&heard),
        };
        // On a task of its own, so that its timers are not looked at for each message.
        let mut watch = AbortOnDropHandle::new(tokio::spawn(watch.run()));
        let (link, mut overdue) = (self.api.link().clone(), Overdue::default());
        let stopped = |watched: Result<String, JoinError>| Stop::Away(watched.unwrap_or_else(|error| error.to_string()));
        loop {
            let message = tokio::select! {
                biased;
                watched = &mut watch => return stopped(watched),
                message = feed.next() => message,
            };
            let Some(message) = message else { return Stop::Away(link.why_down()) };
            // What has come while this node was stopped may be what a leader sends that others have given up meanwhile.
            if !heard.in_time() {
                return Stop::Away(link.why_silent());
            }
            match feed.record(message).await {
                Ok(None) => {
                    if self.next().is_some_and(|next| overdue.is_so(&self.pending, next)) {
                        return Stop::Away(
                            "what is stored in the log does not come from the server that sends it; another is asked".to_owned(),
                        );
                    }
                }
                Ok(Some(delivery)) => {
                    overdue.came();
                    let is_next = self.next() == Some(delivery.sequence);
                    if is_next && !self.pending.came(&delivery.record) {
                        return Stop::Away(link.why_silent());
                    }
                    if let Err(stop) = self.told(delivery) {
                        return stop;
                    }
                }
                Err(reason) => return Stop::Away(format!("what NATS sends of the log has broken off: {reason}; it is asked for again")),
            }
            if !self.untaken.has_room() {
                heard.nobody_listens();
                tokio::select! {
                    () = self.untaken.room(&self.taken) => heard.again(),
                    watched = &mut watch => return stopped(watched),
                }
            }
        }
    }

    /// Begins, if it has not begun, and has the log sent from the next record on.
    async fn open(&mut self) -> Result<Feed, Stop> {
        if self.place.is_none() {
            let (place, snapshot) = self.beginning().await?;
            self.log.get_or_init(|| place.log);
            self.teller.tell(Told::Begins { log: place.log, snapshot });
            self.place = Some(place);
            self.caught_up();
        }
        let Some(next) = self.next() else { return Err(Stop::Away("it has not begun".to_owned())) };
        let Info { cluster: Cluster { leader }, state, .. } = self.checked().await?;
        let feed = match Feed::open(&self.api, &self.streams.names, next, leader.as_deref()).await {
            Ok(feed) => feed,
            // Perhaps because there is no such stream any more.
            Err(fault) => return Err(self.checked().await.err().unwrap_or_else(|| fault.into())),
        };
        // Also behind that, since what is forgotten later is seen by the records that it leaves out. A leader that was frozen says at first that
        // it leads, and what it alone has was never agreed to.
        if self.checked().await?.cluster.leader != leader {
            return Err(Stop::Away(LED_BY_ANOTHER.to_owned()));
        }
        if leader != self.leader && self.leader.replace(leader.unwrap_or_default()).is_some() {
            self.teller.tell(Told::Led(state.last));
        }
        tracing::debug!(next, consumer = %feed.name(), server = feed.server(), "the log is read");
        Ok(feed)
    }

    /// Where to begin.
    async fn beginning(&self) -> Result<(Place, Option<Snapshot>), Stop> {
        let mut stop = Stop::Away("the snapshots are replaced faster than they can be read".to_owned());
        for _ in 0..READINGS {
            self.streams.make(&self.api).await?;
            let snapshot = match self.snapshot().await? {
                Ok(snapshot) => snapshot,
                Err(doubt) => {
                    stop = doubt;
                    continue;
                }
            };
            let info = self.info().await?;
            if !self.streams.counts(&self.api, &info, || self.info()).await? {
                stop = Stop::Away(format!("the stream {} has just been made by several nodes", self.streams.names.log));
                continue;
            }
            let (log, next) = (info.identity(), snapshot.as_ref().map_or(1, |(head, _)| head.cut + 1));
            let place = Place { log, next, behind: Some(info.state.last), has_read: false };
            if snapshot.as_ref().is_some_and(|(head, _)| head.log != log) {
                return Err(Stop::Doubt(format!("the snapshots in {} are of another log; {}", self.streams.names.state, self.anew())));
            }
            match self.gap(&info, &place) {
                None => return Ok((place, snapshot.map(|(_, snapshot)| snapshot))),
                // A newer snapshot may be there by now.
                Some(gap) => stop = gap,
            }
        }
        Err(stop)
    }

    /// The last snapshot, if there is any. In doubt, it is not whole.
    async fn snapshot(&self) -> Result<Result<Option<(Head, Snapshot)>, Stop>, Stop> {
        let names = &self.streams.names;
        let Some((head, _)) = Head::read(&self.api, names).await? else { return Ok(Ok(None)) };
        Ok(match head.snapshot(&self.api, names).await? {
            Some(snapshot) => Ok(Some((head, snapshot))),
            None => Err(Stop::Doubt(format!("the snapshot in {} is not whole; {}", names.state, self.anew()))),
        })
    }

    async fn info(&self) -> Result<Info, Stop> {
        let gone = || Stop::Doubt(format!("the stream {} is gone from NATS; start all nodes again to begin anew", self.streams.names.log));
        self.api.info(&self.streams.names.log).await?.ok_or_else(gone)
    }

    /// Whether the log is the same one, and has the next record or will have. Returns what there is to know of it.
    async fn checked(&self) -> Result<Info, Stop> {
        let info = self.info().await?;
        let Some(place) = &self.place else { return Ok(info) };
        if info.identity() != place.log {
            let name = &self.streams.names.log;
            return Err(Stop::Over(format!("the stream {name} in NATS was made anew; start this node again, and all others")));
        }
        self.gap(&info, place).map_or(Ok(info), Err)
    }

    /// What is wrong if a record is read next.
    fn gap(&self, info: &Info, place: &Place) -> Option<Stop> {
        let name = &self.streams.names.log;
        if info.state.last + 1 < place.next {
            return Some(Stop::Behind(format!("the stream {name} in NATS has lost its last records; {}", self.anew())));
        }
        (info.state.first > place.next).then(|| {
            Stop::Doubt(if place.has_read {
                "this node was away for so long that records it has not read are gone; start it again".to_owned()
            } else {
                format!("the log's beginning is gone and no snapshot stands for it; {}", self.anew())
            })
        })
    }

    /// What helps when what NATS keeps is of no use.
    fn anew(&self) -> String {
        let (log, state) = (&self.streams.names.log, &self.streams.names.state);
        format!(
            "stop all nodes, delete both streams with \"nats stream rm {log}\" and \"nats stream rm {state}\", and start the nodes again"
        )
    }

    /// The next record has come.
    fn told(&mut self, delivery: Delivery) -> Result<(), Stop> {
        let Delivery { sequence, at, record } = delivery;
        match &mut self.place {
            Some(place) if place.next == sequence => (place.next, place.has_read) = (sequence + 1, true),
            _ => return Err(Stop::Doubt("records that this node has not read are gone from the log; start it again".to_owned())),
        }
        self.untaken.told(sequence, record.len(), &self.taken);
        self.teller.tell(Told::Record { sequence, at, record: record.into() });
        self.caught_up();
        Ok(())
    }

    /// Tells once that all has been told that was there at the beginning.
    fn caught_up(&mut self) {
        let Some(place) = &mut self.place else { return };
        if place.behind.is_some_and(|last| place.next > last) {
            place.behind = None;
            self.teller.tell(Told::CaughtUp);
        }
    }
}
