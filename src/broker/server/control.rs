//! What can be changed while a server runs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use tracing::warn;

use crate::broker::assemble::set_limits;
use crate::broker::connection::ConnectionContext;
use crate::broker::settings::{Limits, Settings};
use crate::wire::{Encoding, message_pack};

/// What new connections are given.
pub(super) struct Newcomers {
    settings: RwLock<Settings>,
    json_lines: RwLock<Arc<ConnectionContext>>,
    message_pack: RwLock<Arc<ConnectionContext>>,
    /// The most connections at once.
    most: AtomicUsize,
}

impl Newcomers {
    /// At most `most` connections, for which there are descriptors.
    pub(super) fn new(settings: &Settings, most: usize, context: Arc<ConnectionContext>) -> Self {
        context.stats.most.connections.set(most as u64);
        Self {
            message_pack: RwLock::new(context.speaking(&message_pack::ENCODER)),
            json_lines: RwLock::new(context),
            most: AtomicUsize::new(most),
            settings: RwLock::new(settings.clone()),
        }
    }

    pub(super) fn context(&self, encoding: Encoding) -> Arc<ConnectionContext> {
        let context = match encoding {
            Encoding::JsonLines => &self.json_lines,
            Encoding::MessagePack => &self.message_pack,
        };
        Arc::clone(&context.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The most connections at once.
    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

/// Changes the limits of a [`Server`](super::Server) while it runs.
///
/// ```
/// use msgstream::broker::{Limits, Server, Settings};
/// use msgstream::client::{ClientError, RemoteStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
/// let (control, address) = (server.control(), server.addresses()[0].to_string());
/// tokio::spawn(server.run(std::future::pending(), std::future::pending()));
/// let client = RemoteStream::connect(&address).await?;
/// client.confirmed().header("job-1", "begun").await?;
///
/// control.set_limits(&Limits::default().streams(1));
/// // What there is stays; there can be no more of it.
/// client.confirmed().header("job-1", "goes on").await?;
/// assert!(matches!(client.confirmed().header("job-2", "begun").await, Err(ClientError::Refused(_))));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Control {
    newcomers: Weak<Newcomers>,
    open: Arc<AtomicUsize>,
}

impl Control {
    pub(super) fn new(newcomers: &Arc<Newcomers>, open: &Arc<AtomicUsize>) -> Self {
        Self { newcomers: Arc::downgrade(newcomers), open: Arc::clone(open) }
    }

    /// Has the server keep to these limits from now on. What exceeds them already stays.
    ///
    /// Those of a line, a name and a header, of mistakes and of the first line's time count for connections that are made from now on.
    /// Reserved descriptors count for the number of connections only. Once the server has stopped, this does nothing.
    ///
    /// ```
    /// use msgstream::broker::{Limits, Server, Settings};
    /// use msgstream::client::RemoteStream;
    /// use msgstream::units::ByteSize;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
    /// let (control, address) = (server.control(), server.addresses()[0].to_string());
    /// tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    /// control.set_limits(&Limits::default().name(ByteSize(5)));
    ///
    /// let client = RemoteStream::connect(&address).await?;
    /// assert!(client.confirmed().put("job-1", "fits").await.is_ok());
    /// assert!(client.confirmed().put("job-10", "does not").await.is_err());
    /// # Ok(()) }
    /// ```
    pub fn set_limits(&self, limits: &Limits) {
        let Some(newcomers) = self.newcomers.upgrade() else { return };
        // Held until the end, so that of two calls at once the later one counts in all places.
        let mut settings = newcomers.settings.write().unwrap_or_else(PoisonError::into_inner);
        settings.limits = limits.clone();
        let context = set_limits(&settings, &newcomers.context(Encoding::JsonLines));
        *newcomers.message_pack.write().unwrap_or_else(PoisonError::into_inner) = context.speaking(&message_pack::ENCODER);
        *newcomers.json_lines.write().unwrap_or_else(PoisonError::into_inner) = context;
        let most = most_connections(limits, self.open.load(Ordering::Relaxed));
        newcomers.most.store(most, Ordering::Relaxed);
        newcomers.context(Encoding::JsonLines).stats.most.connections.set(most as u64);
        if let Some(access) = &newcomers.context(Encoding::JsonLines).access {
            access.set_most_waiting(settings.auth.most_waiting(most));
        }
    }
}

/// How many connections there may be: the limit that was set, or all descriptors that are neither in use nor in reserve. Of those in use,
/// `open` are connections' own.
pub(super) fn most_connections(limits: &Limits, open: usize) -> usize {
    let soft = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let in_use = std::fs::read_dir("/proc/self/fd").map_or(16, Iterator::count).saturating_sub(open);
    let free = usize::try_from(soft).unwrap_or(usize::MAX).saturating_sub(in_use.saturating_add(limits.reserved_descriptors)).max(1);
    if limits.connections == 0 {
        return free;
    }
    if limits.connections > free {
        warn!(
            asked = limits.connections,
            possible = free,
            "limits.connections is more than the descriptors allow; raise the limit of open files"
        );
    }
    limits.connections.min(free)
}
