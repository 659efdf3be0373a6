//! The log of a space, on NATS JetStream.
//!
//! The records stand in one stream, whose numbers are theirs, and the snapshots in another. Both are made by the node that comes first.
//! What is in records and snapshots is not known here.
//!
//! Of the library, only connections and messages are used. The few requests to JetStream are our own: no record may be told twice or left
//! out, which depends on when a consumer is made anew, and the library's way with JetStream hides that.
//!
//! - `error`, `names`, `options`: what is wrong with settings, what things are called in NATS, how NATS is called.
//! - `link`, `api`, `streams`: the connection, requests to JetStream, the two streams.
//! - `telling`, `credit`: what is told, and how much may be told that was not taken.
//! - `snapshot`, `feed`: what stands in the one stream, and what is sent of the other.
//! - `pending`: the record that waits to be stored, and whether NATS answers for it.
//! - `watch`: what may go wrong with what is sent, without a word from it.
//! - `reading`, `appending`, `keeping`: the three tasks.
//! - `way`: what the node has in hand.

mod api;
mod appending;
mod credit;
mod error;
mod feed;
mod keeping;
mod link;
mod names;
mod options;
mod pending;
mod reading;
mod snapshot;
mod streams;
mod telling;
mod watch;
mod way;

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::broker::settings::NodesSettings;
use crate::broker::space::Told;

use api::Api;
use appending::{Appender, QuietSender};
use credit::Taken;
use keeping::{Keep, Keeper};
use link::Link;
use names::Names;
use options::Options;
use pending::Pending;
use reading::Reader;
use streams::Streams;
use telling::{Part, Teller, Trouble};

pub use error::NatsError;
#[cfg(feature = "cli")]
pub(crate) use options::faults;
pub use way::Way;

/// Begins to follow the log of a space, on tasks of the current runtime. What it tells is given to `tell`, which must not wait; false from
/// it means that nobody listens any more, and everything ends. So it does when the way is dropped.
///
/// # Errors
///
/// If the settings are wrong in what can be seen without a network. Servers that cannot be reached are tried for ever, and told.
pub fn follow(settings: &NodesSettings, tell: impl Fn(Told) -> bool + Send + Sync + 'static) -> Result<Way, NatsError> {
    let (options, streams) = (Options::of(settings)?, Streams::of(settings, Names::of(&settings.space)?));
    let (stop, taken, is_busy) = (CancellationToken::new(), Arc::new(Taken::default()), Arc::default());
    let (pending, sender) = (Arc::<Pending>::default(), Arc::<OnceLock<QuietSender>>::default());
    let teller = Arc::new(Teller::new(tell, stop.clone()));
    let (keeps, to_keep) = mpsc::channel(1);
    let way = Way {
        pending: Arc::clone(&pending),
        sender: Arc::clone(&sender),
        keeps,
        is_busy: Arc::clone(&is_busy),
        taken: Arc::clone(&taken),
        teller: Arc::clone(&teller),
        stop: stop.clone(),
        _stops: stop.clone().drop_guard(),
    };
    let parts = Parts { streams, teller, taken, pending, sender, to_keep, is_busy };
    tokio::spawn(parts.run(options, stop));
    Ok(way)
}

/// What the tasks need.
struct Parts {
    streams: Streams,
    teller: Arc<Teller>,
    taken: Arc<Taken>,
    pending: Arc<Pending>,
    sender: Arc<OnceLock<QuietSender>>,
    to_keep: mpsc::Receiver<Keep>,
    is_busy: Arc<std::sync::atomic::AtomicBool>,
}

impl Parts {
    async fn run(self, options: Options, stop: CancellationToken) {
        let teller = Arc::clone(&self.teller);
        let mut tasks = match self.begin(options, stop.clone()).await {
            Ok(tasks) => tasks,
            Err(reason) => return teller.tell(Told::Over(reason)),
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            // None of them ends before; the way is dropped behind its stop.
            _ = tasks.join_next() => teller.tell(Told::Over("a task of the log has ended; start the node again, and report it".to_owned())),
        }
    }

    /// All tasks, which end when they are dropped.
    async fn begin(self, options: Options, stop: CancellationToken) -> Result<JoinSet<()>, String> {
        let Self { streams, teller, taken, pending, sender, to_keep, is_busy } = self;
        let link = Link::open(options, stop).await.map_err(|error| error.to_string())?;
        let (api, log, names) = (Api::new(link.clone()), Arc::new(OnceLock::new()), streams.names.clone());
        sender.get_or_init(|| QuietSender::new(link, &names.records));
        let appending = Trouble::new(Arc::clone(&teller), Part::Appending);
        let appender = Appender::new(api.clone(), &names, Arc::clone(&pending), appending).await?;
        let reading = Trouble::new(Arc::clone(&teller), Part::Reading);
        let reader = Reader::new(api.clone(), streams, Arc::clone(&teller), reading, taken, Arc::clone(&log), pending);
        let keeper = Keeper { api, names, teller, keeps: to_keep, is_busy, log, left: None };
        let mut tasks = JoinSet::new();
        tasks.spawn(reader.run());
        tasks.spawn(appender.run());
        tasks.spawn(keeper.run());
        Ok(tasks)
    }
}
