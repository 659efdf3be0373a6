//! What a broker tells those who watch over it, in the formats of Prometheus. Knows no sockets: whoever has one asks.

mod families;
mod format;
#[cfg(target_os = "linux")]
mod linux;
mod process;
mod writer;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::{Instant, sleep};

use crate::broker::actor::{Intake, Pulse, Stats};
use crate::broker::connection::ConnectionContext;
use crate::broker::settings::memory;
use crate::wire::Gauge;

#[cfg(target_os = "linux")]
use linux::start_time;
#[cfg(not(target_os = "linux"))]
use process::start_time;

pub use format::MetricsFormat;

/// How often the actor is asked for an answer.
const PAUSE: Duration = Duration::from_secs(1);

/// The bounds by which round trips are counted, in seconds. A broker that is not busy answers in less than the first.
const BOUNDS: [f64; 15] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The metrics of a broker, as a Prometheus reads them. Cheap to clone; it does not keep the broker alive.
///
/// A program that has an HTTP server of its own answers with them. `docs/metrics.md` says what each of them means.
///
/// ```
/// use msgstream::broker::{MetricsFormat, Server, Settings};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
/// let metrics = server.metrics();
/// tokio::spawn(metrics.clone().watch());
/// tokio::spawn(server.run(std::future::pending(), std::future::pending()));
/// let told = metrics.render(MetricsFormat::OpenMetrics);
/// assert!(told.contains("\nmsgstream_streams 0\n") && told.ends_with("# EOF\n"));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Metrics {
    sources: Arc<Sources>,
    registry: Arc<Registry>,
}

/// Where the values come from.
#[derive(Debug)]
struct Sources {
    stats: Arc<Stats>,
    /// The memory of what waits for all connections.
    queues: Arc<Gauge>,
    /// The bytes that were written.
    sent: Arc<AtomicU64>,
    intake: Arc<Intake>,
    /// The memory that the broker may count on, in bytes.
    memory: usize,
    /// When the process began, in seconds since 1970.
    started: Option<f64>,
    pulse: Pulse,
    round_trips: Histogram,
    /// Since when the actor owes an answer.
    asked: Mutex<Option<Instant>>,
}

impl Metrics {
    /// Of the broker that these connections are of.
    pub(crate) fn new(context: &ConnectionContext) -> Self {
        let sources = Arc::new(Sources {
            stats: Arc::clone(&context.stats),
            queues: Arc::clone(&context.outbox.gauge),
            sent: Arc::clone(&context.outbox.sent),
            intake: Arc::clone(&context.reader.intake),
            memory: memory(),
            started: start_time(),
            pulse: context.mailbox.pulse(),
            round_trips: Histogram::new(BOUNDS),
            asked: Mutex::default(),
        });
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(&sources)));
        Self { sources, registry: Arc::new(registry) }
    }

    /// All metrics as they are now.
    ///
    /// Some are read from files of the system that need no disk. With a Linux before 6.2 that takes some milliseconds if there are tens of
    /// thousands of connections: ask from a thread that may wait, such as one of `spawn_blocking`.
    ///
    /// ```
    /// # use msgstream::broker::{MetricsFormat, Server, Settings};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let metrics = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?.metrics();
    /// let told = metrics.render(MetricsFormat::Text);
    /// assert!(told.contains("\nmsgstream_messages_received_total 0\n"));
    /// # Ok(()) }
    /// ```
    pub fn render(&self, format: MetricsFormat) -> String {
        let mut told = String::with_capacity(16 << 10);
        let written = match format {
            MetricsFormat::OpenMetrics => text::encode(&mut told, &self.registry),
            MetricsFormat::Text => prometheus_text::encode(&mut told, &self.registry),
        };
        debug_assert!(written.is_ok(), "a text takes whatever is written to it");
        told
    }

    /// Asks the actor for an answer once a second, and notes how long it took, until the broker ends.
    ///
    /// ```
    /// # use msgstream::broker::{MetricsFormat, Server, Settings};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
    /// let metrics = server.metrics();
    /// drop(server);
    /// // There is nobody to answer, so that it ends.
    /// metrics.clone().watch().await;
    /// assert!(metrics.render(MetricsFormat::Text).contains("\nmsgstream_actor_round_trip_seconds_count 0\n"));
    /// # Ok(()) }
    /// ```
    pub async fn watch(self) {
        while self.beat().await {
            sleep(PAUSE).await;
        }
    }

    /// Asks the actor for an answer, and notes how long it took. False if the broker has ended.
    ///
    /// ```
    /// # use msgstream::broker::{MetricsFormat, Server, Settings};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
    /// let metrics = server.metrics();
    /// tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    /// assert!(metrics.beat().await);
    /// assert!(metrics.render(MetricsFormat::Text).contains("\nmsgstream_actor_round_trip_seconds_count 1\n"));
    /// # Ok(()) }
    /// ```
    pub async fn beat(&self) -> bool {
        let began = Instant::now();
        // One that nobody waited for to the end is still open.
        self.sources.asked().get_or_insert(began);
        let is_answered = self.sources.pulse.beat().await;
        *self.sources.asked() = None;
        if is_answered {
            self.observe_round_trip(began.elapsed());
        }
        is_answered
    }

    /// Notes that the actor took so long to answer, for a program that asks by itself.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use msgstream::broker::{MetricsFormat, Server, Settings};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let metrics = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?.metrics();
    /// metrics.observe_round_trip(Duration::from_millis(500));
    /// assert!(metrics.render(MetricsFormat::Text).contains("\nmsgstream_actor_round_trip_seconds_sum 0.5\n"));
    /// # Ok(()) }
    /// ```
    pub fn observe_round_trip(&self, time: Duration) {
        self.sources.round_trips.observe(time.as_secs_f64());
    }
}

impl Sources {
    /// How long the actor has owed an answer.
    fn unanswered(&self) -> Duration {
        self.asked().map_or(Duration::ZERO, |asked| asked.elapsed())
    }

    fn asked(&self) -> MutexGuard<'_, Option<Instant>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
