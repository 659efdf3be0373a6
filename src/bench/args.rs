//! The options as typed. Checked, they make a [`Plan`].

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::wire::units::{ByteSize, Span};
use crate::wire::{Encoding, Listen};

use super::carried::By;
use super::content::ContentKind;
use super::encrypted::encryption;
use super::plan::Plan;
use super::topology::Topology;
use super::wire::{self, Dialect, Protocol};
use super::workload::Workload;

/// Load a broker, check all that it delivers, and report throughput, latency and cost.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Every message carries its publisher and a sequence number. One that is lost, doubled, changed or out of \
    order ends the run with an error and exit code 1.\n\nIt shows no token and no certificate: load a broker without auth.tokens, to \
    which clients may come without certificates.\n\nExamples:\n  \
    msgstream bench --listeners 8                                  1 publisher to 8 listeners\n  \
    msgstream bench --listeners 100 --rate 1000 --duration 10s     latency at 1,000 messages a second\n  \
    msgstream bench --publishers 8 --streams 8 --pid 4242          CPU per delivery, and memory\n  \
    msgstream bench --server msgpack+tcp://127.0.0.1:7343          in MessagePack\n  \
    msgstream bench --join --size 16KiB                            joins, with a header of 16 KiB\n  \
    msgstream bench --idle 10000 --pid 4242                        memory per idle connection\n  \
    msgstream bench --beside receipts --listeners 1000             pings beside a busy publisher")]
pub(crate) struct Args {
    /// The broker to load: HOST:PORT, tls://HOST:PORT or unix:PATH; for MessagePack, msgpack+tcp://HOST:PORT and the like
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7342")]
    pub(crate) server: Listen,
    /// For tls://HOST:PORT: the authority that the broker's certificate is signed by, in PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The protocol. All but msgstream and msgpack are for comparison [default: the address's, which is msgstream without msgpack+]
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,
    /// Publishing connections. If there are more streams than publishers, each publishes to its streams in turn
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) publishers: usize,
    /// Streams
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) streams: usize,
    /// Listening connections per stream
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "no_listeners")]
    pub(crate) listeners: usize,
    /// Streams that each listening connection listens to
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) streams_per_listener: usize,
    /// Publish to nobody
    #[arg(long, conflicts_with_all = ["rate", "join", "idle"])]
    pub(crate) no_listeners: bool,
    /// The size of a message's content, such as 108, 16KiB or 1MB
    #[arg(long, value_name = "SIZE", default_value = "108")]
    pub(crate) size: ByteSize,
    /// The kind of content: a progress object, a curve of numbers, or text
    #[arg(long, value_enum, default_value_t = ContentKind::Progress)]
    pub(crate) kind: ContentKind,
    /// Messages to publish by all publishers together; with --join, the number of joins
    #[arg(long, value_name = "N", default_value_t = 1_000_000, conflicts_with = "rate")]
    pub(crate) messages: u64,
    /// Publish this many messages a second by all publishers together, and measure latency from the time each was due
    #[arg(long, value_name = "PER_SECOND", conflicts_with_all = ["join", "idle"])]
    pub(crate) rate: Option<f64>,
    /// Measure how long another client's pings take during this work, which --publishers connections do in a closed loop for all
    /// listeners
    #[arg(long, value_enum, value_name = "WORK", conflicts_with_all = ["rate", "join", "idle", "no_listeners", "messages", "streams", "size"])]
    pub(crate) beside: Option<Workload>,
    /// The address for the listeners [default: --server]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "join")]
    pub(crate) listeners_at: Option<Listen>,
    /// What the listeners' messages travel in. Publishers speak the protocol as it is
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["beside", "join"])]
    listeners_by: By,
    /// How long to publish with --rate or --beside
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) duration: Span,
    /// How far publishers may be ahead of the slowest listener, in bytes. At least four messages
    #[arg(long, value_name = "SIZE", default_value = "256KiB")]
    pub(crate) window: ByteSize,
    /// Messages published, received and checked before measuring begins
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) warmup: u64,
    /// The broker's process id, to report its CPU time and memory. It must be on this machine
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// Measure joins: each of --listeners connections leaves the stream and joins it again to receive its header
    #[arg(long, conflicts_with = "idle")]
    pub(crate) join: bool,
    /// Measure memory: open this many listening connections and leave them idle
    #[arg(long, value_name = "N", requires = "pid")]
    pub(crate) idle: Option<usize>,
    /// Fail if nothing is sent or received for this long
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) timeout: Span,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is written at once when the rate is not set: as much as the brokers read at once.
const BATCH: usize = 64 << 10;

/// Ids have five digits for the publisher, ten for the number; names six for the stream.
const MOST_PUBLISHERS: usize = 10_000;
const MOST_STREAMS: usize = 1_000_000;
const MOST_MESSAGES: u64 = 9_999_999_999;

impl Args {
    /// What is spoken: what was asked for, or else what the address says.
    ///
    /// # Errors
    /// If the two contradict each other.
    fn protocol(&self) -> Result<Protocol> {
        Ok(match (self.server.encoding, self.protocol) {
            (Encoding::JsonLines, asked) => asked.unwrap_or(Protocol::Msgstream),
            (Encoding::MessagePack, None | Some(Protocol::Msgpack)) => Protocol::Msgpack,
            (Encoding::MessagePack, Some(_)) => {
                bail!("{} speaks MessagePack: leave --protocol out, or give the address without \"msgpack+\"", self.server)
            }
        })
    }

    /// Checks the options against each other.
    pub(crate) fn plan(&self) -> Result<Plan> {
        ensure!((1..=MOST_PUBLISHERS).contains(&self.publishers), "--publishers must be between 1 and {MOST_PUBLISHERS}");
        ensure!((1..=MOST_STREAMS).contains(&self.streams), "--streams must be between 1 and {MOST_STREAMS}");
        ensure!(self.listeners > 0, "--listeners must be at least 1; use --no-listeners to publish to nobody");
        ensure!(self.streams_per_listener > 0, "--streams-per-listener must be at least 1");
        ensure!(self.messages > 0 && self.messages + self.warmup <= MOST_MESSAGES, "--messages must be between 1 and {MOST_MESSAGES}");
        ensure!(self.rate.is_none_or(|rate| rate > 0.0 && rate <= 1e6), "--rate must be between 0 and 1,000,000");
        let protocol = self.protocol()?;
        if protocol == Protocol::Relay && (self.publishers > 1 || self.streams > 1 || self.join) {
            bail!("the relay has one stream and one publisher, and no headers");
        }
        if let Some(work) = self.beside {
            let translates = self.listeners_at.as_ref().is_some_and(|listen| listen.encoding == Encoding::MessagePack);
            work.check(protocol, translates)?;
        }
        self.plan_for(protocol, wire::of(protocol), By::Socket)
    }

    /// The plan of the listeners, which may be elsewhere, and with `--beside` speak another encoding.
    pub(crate) fn listeners_plan(&self) -> Result<Plan> {
        let Some(listen) = &self.listeners_at else { return self.plan_to_hear(self.protocol()?) };
        let protocol = if self.beside.is_some() { None } else { self.protocol };
        ensure!(self.beside.is_some() || listen.encoding == self.server.encoding, "--listeners-at speaks another encoding than --server");
        let there = Self { server: listen.clone(), protocol, ..self.clone() };
        there.plan_to_hear(there.protocol()?)
    }

    fn plan_to_hear(&self, protocol: Protocol) -> Result<Plan> {
        let by = self.listeners_by;
        let wire = wire::heard(protocol, by).with_context(|| format!("{protocol:?} has no listeners by {by:?}: see --listeners-by"))?;
        ensure!(wire.path(0).is_none() || self.streams_per_listener == 1, "a listener by {by:?} has one stream");
        self.plan_for(protocol, wire, by)
    }

    fn plan_for(&self, protocol: Protocol, wire: &'static dyn Dialect, by: By) -> Result<Plan> {
        let content = wire.content(self.kind, self.size.0)?;
        let line = wire.published(0, &content).len();
        let window = (self.window.0 / line).max(4);
        Ok(Plan {
            protocol,
            wire,
            server: self.server.address.clone(),
            by,
            encryption: self.ca.as_deref().map(encryption).transpose()?,
            topology: Topology {
                publishers: self.publishers,
                streams: self.streams,
                listeners: if self.no_listeners { 0 } else { self.listeners },
                block: self.streams_per_listener.min(self.streams),
            },
            content,
            window: window as u64,
            batch: (BATCH / line).clamp(1, window) as u64,
            timeout: self.timeout.0,
        })
    }
}
