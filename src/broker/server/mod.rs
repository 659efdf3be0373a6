//! Binds, accepts, drains.
//!
//! The caller owns the signals: [`Server::run`] ends when the future it is given does.

mod accept;
#[cfg(feature = "tls")]
mod certificates;
mod control;
mod handed_in;
#[cfg(feature = "http")]
mod http;
mod listening_socket;
mod lock_file;
mod refusal;
mod spoken;
mod stopping;
mod tokens;
mod unix_socket;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::actor::{Actor, Mailbox, Stats};
use crate::broker::assemble::assemble;
use crate::broker::connection::{ConnectionContext, Times};
#[cfg(feature = "http")]
use crate::broker::metrics::Metrics;
#[cfg(feature = "nodes")]
use crate::broker::nats::NatsError;
#[cfg(feature = "nodes")]
use crate::broker::settings::NodesSettings;
use crate::broker::settings::Settings;
#[cfg(feature = "store")]
use crate::broker::settings::StoreSettings;
#[cfg(feature = "store")]
use crate::broker::store::{Store, StoreError};
use crate::wire::json_lines::JsonLines;
use crate::wire::message_pack::MessagePack;
use crate::wire::{Address, Encoding, Listen};

#[cfg(feature = "http")]
use self::http::Http;
#[cfg(feature = "tls")]
use accept::Tls;
use accept::{Admission, accept};
use control::{Newcomers, most_connections};
use listening_socket::ListeningSocket;
use spoken::Encoded;
use stopping::{LAST_MOMENT, drain, end_of, last_word, tell_counts};
use tokens::access;

pub use crate::broker::actor::Pulse;
#[cfg(feature = "tls")]
pub use certificates::Certificates;
pub use control::Control;
pub(crate) use handed_in::beside;
#[cfg(feature = "http")]
pub(crate) use handed_in::http_beside;
pub use handed_in::{BadSocket, HandedIn};
pub use listening_socket::BindError;
pub use stopping::ServerError;
pub use tokens::Tokens;

/// A broker that listens on its addresses and does not accept connections yet.
///
/// ```
/// use msgstream::broker::{Server, Settings};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tokio::net::TcpStream;
/// use tokio_util::sync::CancellationToken;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
/// let address = server.addresses()[0].to_string();
/// let stop = CancellationToken::new();
/// let running = tokio::spawn(server.run(stop.clone().cancelled_owned(), std::future::pending()));
///
/// let mut client = TcpStream::connect(address).await?;
/// client.write_all(b"{\"action\":\"ping\"}\n{\"action\":\"close\"}\n").await?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer).await?;
/// assert_eq!(answer, "{\"action\":\"pong\"}\n{\"action\":\"close\"}\n");
/// drop(client);
///
/// stop.cancel();
/// running.await??;
/// # Ok(())
/// # }
/// ```
pub struct Server {
    sockets: Vec<(ListeningSocket, Encoding)>,
    addresses: Vec<Address>,
    /// Runs with the server. `None` if the broker was running before.
    actor: Option<Actor>,
    mailbox: Mailbox,
    admission: Admission,
    /// Who may do what; none if everybody may do everything.
    tokens: Option<Tokens>,
    #[cfg(feature = "http")]
    http: Http,
    #[cfg(feature = "http")]
    metrics: Metrics,
    /// How long a drain may go without progress, and in all.
    drain_times: (Duration, Duration),
}

impl Server {
    /// Listens on all addresses. Connections are accepted once [`run`](Self::run) is called. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`] for the first address that cannot be listened on: also for one that other machines can reach, if the settings have
    /// neither `auth.tokens` nor `auth.allow_anonymous`; and if the file of the tokens cannot be used.
    ///
    /// ```
    /// use msgstream::broker::{Server, Settings};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let listen = ["127.0.0.1:0".parse()?, "msgpack+tcp://127.0.0.1:0".parse()?];
    /// let server = Server::bind(&listen, &Settings::default())?;
    /// assert_eq!(server.addresses().len(), 2);
    /// # Ok(()) }
    /// ```
    pub fn bind(listen: &[Listen], settings: &Settings) -> Result<Self, BindError> {
        Self::bind_beside(listen, Vec::new(), settings)
    }

    /// As [`bind`](Self::bind), and takes connections from sockets that listen already as well. An address of `listen` that such a socket
    /// covers is left to it. The sockets come last in [`addresses`](Self::addresses), and those where HTTP is spoken in
    /// [`http_addresses`](Self::http_addresses).
    ///
    /// # Errors
    /// [`BindError`] for the first address that cannot be listened on, or socket that cannot be set up.
    ///
    /// ```
    /// use msgstream::broker::{HandedIn, Server, Settings};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let socket = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let address = socket.local_addr()?.to_string();
    /// let handed_in = vec![HandedIn::new(socket.into(), None)?];
    /// let server = Server::bind_beside(&[address.parse()?], handed_in, &Settings::default())?;
    /// assert_eq!(server.addresses(), [address.parse()?]);
    /// # Ok(()) }
    /// ```
    pub fn bind_beside(listen: &[Listen], handed_in: Vec<HandedIn>, settings: &Settings) -> Result<Self, BindError> {
        let (actor, context) = assemble(settings);
        Ok(Self { actor: Some(actor), ..Self::bind_with(listen, handed_in, settings, context)? })
    }

    /// Listens on all addresses for a running broker, made by [`assemble`]. When the server stops, it stops the whole broker and
    /// tells every connection, listeners in the program included.
    ///
    /// # Errors
    /// [`BindError`] for the first address that cannot be listened on.
    pub(crate) fn bind_with(
        listen: &[Listen],
        handed_in: Vec<HandedIn>,
        settings: &Settings,
        context: Arc<ConnectionContext>,
    ) -> Result<Self, BindError> {
        let listen = beside(listen, &handed_in);
        let most = most_connections(&settings.limits, 0);
        #[cfg(feature = "http")]
        let http_listen = &http_beside(&settings.http.listen, &handed_in)[..];
        #[cfg(not(feature = "http"))]
        let http_listen: &[Address] = &[];
        let reached: Vec<_> = listen.iter().cloned().chain(http_listen.iter().cloned().map(Listen::from)).collect();
        let access = access(&reached, settings, most)?;
        let tokens = access.clone().map(|access| Tokens::new(access, &context.mailbox, Arc::clone(&context.stats)));
        let times = Times { auth: settings.auth.time.0, ..context.times.clone() };
        if let Some(access) = &access {
            context.cut_log.knows(access);
        }
        let context = Arc::new(ConnectionContext { access, times, ..(*context).clone() });
        let mut tcp = settings.tcp.clone();
        // The system must not end a slow connection before the broker could tell it why.
        let told = settings.outbox.write_time.0.saturating_add(settings.outbox.drain_time.0).saturating_add(LAST_MOMENT);
        if !tcp.user_timeout.0.is_zero() {
            tcp.user_timeout.0 = tcp.user_timeout.0.max(told);
        }
        let addresses: Vec<_> = listen.iter().map(|listen| listen.address.clone()).collect();
        #[cfg(feature = "http")]
        let (for_http, handed_in): (Vec<_>, Vec<_>) = handed_in.into_iter().partition(HandedIn::is_http);
        let to_bind = addresses.iter().take(listen.len() - handed_in.len());
        let bound = to_bind.map(|address| ListeningSocket::bind(address, &addresses, &tcp, &settings.unix));
        let adopted = handed_in.into_iter().map(HandedIn::into_parts);
        let adopted = adopted.map(|(listen, socket)| ListeningSocket::adopt(&listen.address, socket, &tcp));
        let sockets = bound.chain(adopted).collect::<Result<Vec<_>, _>>()?;
        #[cfg(feature = "http")]
        let http = Http::bind(http_listen, for_http, settings, &addresses)?;
        #[cfg(feature = "tls")]
        let certificates =
            load_certificates(addresses.iter().chain(http_listen), settings)?.inspect(|certificates| certificates.tell(&context.stats));
        let in_use = sockets.iter().zip(addresses).map(|(socket, asked)| socket.address().unwrap_or(asked));
        let addresses = in_use.collect();
        let sockets = sockets.into_iter().zip(listen.iter().map(|listen| listen.encoding)).collect();
        let reserved = settings.limits.reserved_descriptors;
        let mailbox = context.mailbox.clone();
        #[cfg(feature = "http")]
        let metrics = Metrics::new(&context);
        let admission = Admission {
            newcomers: Arc::new(Newcomers::new(settings, most, context)),
            open: Arc::default(),
            most_refusals: (reserved / 2).max(1),
            refusals: Arc::default(),
            tasks: TaskTracker::new(),
            #[cfg(feature = "tls")]
            tls: certificates.map(|certificates| Tls { certificates, handshakes: Arc::default() }),
            stop: CancellationToken::new(),
        };
        Ok(Self {
            sockets,
            addresses,
            actor: None,
            mailbox,
            tokens,
            #[cfg(feature = "http")]
            http,
            #[cfg(feature = "http")]
            metrics,
            admission,
            drain_times: (settings.outbox.drain_time.0, settings.outbox.longest_drain()),
        })
    }

    /// Keeps what there is beyond a restart, and begins with what a broker has left there: headers, ends and wills after a crash; after an
    /// orderly stop also the last messages and the sessions, so that clients go on where they were. To be called before
    /// [`run`](Self::run). Without a path nothing is kept. What is kept may be read by whoever can read the file.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be used, or is another broker's; nothing of it is changed then. It also fails for a server of a
    /// [`MessageStream`](crate::local::MessageStream), which was running before.
    ///
    /// ```
    /// use msgstream::broker::{Server, Settings, StoreSettings};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = std::env::temp_dir().join(format!("msgstream-store-{}", std::process::id()));
    /// # std::fs::create_dir_all(&directory)?;
    /// let store = StoreSettings::at(directory.join("store.redb"));
    /// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?.with_store(&store)?;
    /// assert!(directory.join("store.redb").exists());
    /// # drop(server);
    /// # std::fs::remove_dir_all(directory)?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "store")]
    pub fn with_store(mut self, settings: &StoreSettings) -> Result<Self, StoreError> {
        let Some(path) = &settings.path else { return Ok(self) };
        let Some(actor) = self.actor.take() else { return Err(StoreError::Running(path.clone())) };
        self.actor = Some(crate::broker::assemble::keep(actor, Store::open(path)?, settings, &self.mailbox, &self.stats())?);
        Ok(self)
    }

    /// Shares its streams with the other brokers of a space, its nodes. Without an address of a NATS server nothing changes. It begins at once
    /// to follow the log of the space, and holds its clients back until it has read that.
    ///
    /// # Errors
    /// If the settings, or files that they name, cannot be used; each text says what to do. That NATS does not answer is no error: it is
    /// tried again for as long as the server runs.
    ///
    /// # Panics
    /// Outside of a runtime of tokio.
    ///
    /// ```
    /// use msgstream::broker::{NodesSettings, Server, Settings};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (settings, nodes) = (Settings::default(), NodesSettings::on(["nats://127.0.0.1:4222"]).name("north".to_owned()));
    /// let server = Server::bind(&["127.0.0.1:0".parse()?], &settings)?.with_nodes(&nodes, &settings)?;
    /// assert_eq!(server.addresses().len(), 1);
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "nodes")]
    pub fn with_nodes(mut self, nodes: &NodesSettings, settings: &Settings) -> Result<Self, NatsError> {
        let Some(actor) = self.actor.take() else { return Ok(self) };
        if !nodes.is_on() {
            self.actor = Some(actor);
            return Ok(self);
        }
        let addresses = self.addresses.iter().map(ToString::to_string).collect();
        let context = self.admission.newcomers.context(Encoding::JsonLines);
        self.actor = Some(crate::broker::assemble::share(actor, nodes, settings, addresses, &context)?);
        Ok(self)
    }

    /// The addresses in use, in the order asked for, with the ports that the system chose.
    ///
    /// ```
    /// use msgstream::broker::{Address, Server, Settings};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
    /// let Address::Tcp(address) = server.addresses()[0] else { panic!() };
    /// assert_ne!(address.port(), 0);
    /// # Ok(()) }
    /// ```
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The addresses in use where HTTP is spoken, in the order of [`HttpSettings::listen`](crate::broker::HttpSettings::listen), and behind
    /// them those of sockets that listened already.
    ///
    /// ```
    /// use msgstream::broker::{HttpSettings, Server, Settings};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let http = HttpSettings::default().listen(vec!["127.0.0.1:0".parse()?]);
    /// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default().http(http))?;
    /// assert_eq!(server.http_addresses().len(), 1);
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "http")]
    pub fn http_addresses(&self) -> Vec<Address> {
        self.http.addresses()
    }

    /// What the broker counts; goes on counting while it runs.
    ///
    /// ```
    /// use msgstream::client::RemoteStream;
    /// use msgstream::broker::{Server, Settings};
    /// use tokio::sync::oneshot;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
    /// let (stats, address) = (server.stats(), server.addresses()[0].to_string());
    /// let (stop, stopped) = oneshot::channel::<()>();
    /// let running = tokio::spawn(server.run(async { drop(stopped.await) }, std::future::pending()));
    ///
    /// RemoteStream::connect(&address).await?.disconnect().await?;
    /// drop(stop);
    /// running.await??;
    /// assert_eq!(stats.snapshot().connections_opened, 1);
    /// # Ok(()) }
    /// ```
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.admission.newcomers.context(Encoding::JsonLines).stats)
    }

    /// What whoever watches over the broker is told, in the formats of Prometheus; goes on while it runs.
    ///
    /// ```
    /// use msgstream::broker::{MetricsFormat, Server, Settings};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
    /// let told = server.metrics().render(MetricsFormat::OpenMetrics);
    /// assert!(told.contains("\nmsgstream_connections_refused_total 0\n"));
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "http")]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Changes limits while the server runs.
    ///
    /// ```
    /// use msgstream::broker::{Limits, Server, Settings};
    /// use msgstream::client::RemoteStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
    /// let (control, address) = (server.control(), server.addresses()[0].to_string());
    /// tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    /// control.set_limits(&Limits::default().sessions(0));
    /// let client = RemoteStream::connect(&address).await?;
    /// assert!(client.confirmed().put("job-1", "without a session").await.is_ok());
    /// # Ok(()) }
    /// ```
    pub fn control(&self) -> Control {
        Control::new(&self.admission.newcomers, &self.admission.open)
    }

    /// The certificates of the `tls://` addresses, to be read again while the server runs. None without such an address.
    ///
    /// ```
    /// use msgstream::broker::{Server, Settings};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
    /// assert!(server.certificates().is_none());
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "tls")]
    pub fn certificates(&self) -> Option<Certificates> {
        self.admission.tls.as_ref().map(|tls| tls.certificates.clone())
    }

    /// Whether the broker is alive, which is more than that its process is.
    ///
    /// ```
    /// use msgstream::broker::{Server, Settings};
    /// use tokio_util::sync::CancellationToken;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
    /// let (pulse, stop) = (server.pulse(), CancellationToken::new());
    /// let running = tokio::spawn(server.run(stop.clone().cancelled_owned(), std::future::pending()));
    /// assert!(pulse.beat().await);
    /// stop.cancel();
    /// running.await??;
    /// assert!(!pulse.beat().await);
    /// # Ok(()) }
    /// ```
    pub fn pulse(&self) -> Pulse {
        self.mailbox.pulse()
    }

    /// Who may do what; none without `auth.tokens`, where everybody may do everything.
    ///
    /// ```
    /// use msgstream::broker::{Server, Settings};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
    /// assert!(server.tokens().is_none());
    /// # Ok(()) }
    /// ```
    pub fn tokens(&self) -> Option<Tokens> {
        self.tokens.clone()
    }

    /// Serves until `shutdown` completes, then drains: it accepts no more connections, takes in what was received, sends what is
    /// queued, and tells each connection that it ends.
    ///
    /// If `cut_short` completes, the drain ends at once and what is queued is dropped. Otherwise it ends within the longest drain
    /// time and about two drain times (see [`OutboxSettings`](crate::broker::OutboxSettings)).
    ///
    /// # Errors
    /// [`ServerError::ActorPanicked`]; [`ServerError::Store`] if it cannot begin to write its store.
    ///
    /// ```
    /// use msgstream::broker::{Server, Settings};
    /// use tokio_util::sync::CancellationToken;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::bind(&["127.0.0.1:0".parse()?], &Settings::default())?;
    /// // In a service: the first signal, and the second.
    /// let (stop, at_once) = (CancellationToken::new(), CancellationToken::new());
    /// let running = tokio::spawn(server.run(stop.clone().cancelled_owned(), at_once.clone().cancelled_owned()));
    /// stop.cancel();
    /// assert!(running.await?.is_ok());
    /// # Ok(()) }
    /// ```
    pub async fn run(self, shutdown: impl Future<Output = ()>, cut_short: impl Future<Output = ()>) -> Result<(), ServerError> {
        #[cfg(feature = "http")]
        let serving = self.http.serve(&self.admission, &self.metrics);
        let Self { sockets, mut actor, mailbox, admission, tokens, drain_times, .. } = self;
        let stop = admission.stop.clone();
        if let Some(actor) = &mut actor {
            actor.begin_to_keep().map_err(ServerError::Store)?;
        }
        let mut actor = actor.map(|actor| tokio::spawn(actor.run()));
        let accepting = TaskTracker::new();
        for (socket, encoding) in sockets {
            match encoding {
                Encoding::JsonLines => {
                    accepting.spawn(accept(socket, Encoded::<JsonLines>::new(encoding), admission.clone(), stop.clone()))
                }
                Encoding::MessagePack => {
                    accepting.spawn(accept(socket, Encoded::<MessagePack>::new(encoding), admission.clone(), stop.clone()))
                }
            };
        }
        if let Some(tokens) = tokens {
            accepting.spawn(tokens.watch(stop.clone()));
        }
        accepting.close();
        #[cfg(feature = "tls")]
        if let Some(tls) = &admission.tls {
            tokio::spawn(stop.clone().run_until_cancelled_owned(tls.certificates.clone().follow()));
        }

        let ended = tokio::select! {
            () = shutdown => None,
            ended = end_of(&mut actor, &mailbox) => Some(ended),
        };
        stop.cancel();
        if ended.is_none() {
            accepting.wait().await;
            drain(&mailbox, &admission.tasks, drain_times, cut_short).await;
        }
        #[cfg(feature = "http")]
        serving.end().await;
        let context = admission.newcomers.context(Encoding::JsonLines);
        context.cut_log.tell_rest();
        context.mistake_log.tell();
        tell_counts(&context.stats.snapshot());
        let over = context.stats.contact.over();
        drop((mailbox, admission, context));
        match (ended, actor) {
            (Some(_), _) => Err(over.map_or(ServerError::ActorPanicked, ServerError::Node)),
            (None, Some(actor)) => last_word(actor).await,
            (None, None) => Ok(()),
        }
    }
}

/// The certificates, if an address needs them.
#[cfg(feature = "tls")]
fn load_certificates<'a>(mut addresses: impl Iterator<Item = &'a Address>, settings: &Settings) -> Result<Option<Certificates>, BindError> {
    let Some(address) = addresses.find(|address| matches!(address, Address::Tls(_))) else { return Ok(None) };
    let unusable = |error| BindError::new(address.clone(), std::io::Error::new(std::io::ErrorKind::InvalidInput, error));
    Certificates::load(&settings.tls).map(Some).map_err(unusable)
}
