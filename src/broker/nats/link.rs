//! The connection to NATS: whether there is one, which one, and why there is none. The library makes it anew whenever it is lost.

use std::future::{pending, ready};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectError, Event, ServerInfo};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::options::Options;

/// News of a connection may be left out when there are many. So it is also looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// What was last said to be wrong.
type Said = Arc<Mutex<Option<String>>>;

/// The connection. All clones are the same one.
#[derive(Clone)]
pub(super) struct Link {
    client: Client,
    news: watch::Receiver<()>,
    said: Said,
}

impl Link {
    /// Begins to connect, which is tried until `stop`.
    pub(super) async fn open(options: Options, stop: CancellationToken) -> Result<Self, ConnectError> {
        let ((tell, news), said) = (watch::channel(()), Said::default());
        let (heard, failed) = (Arc::clone(&said), Arc::clone(&said));
        let on_event = move |event| {
            if let Some(news) = news_in(event) {
                *heard.lock().unwrap_or_else(PoisonError::into_inner) = news;
            }
            tell.send_replace(());
            ready(())
        };
        // Asked before each round of calls: what it answers is that the library may choose.
        let before_calls = move |servers: Vec<async_nats::Server>, _: ServerInfo| {
            if let Some(failures) = failures_of(&servers) {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(failures);
            }
            let is_over = stop.is_cancelled();
            async move {
                if is_over {
                    // The library would go on calling, though nobody has the client any more.
                    pending::<()>().await;
                }
                None
            }
        };
        let connect = options.connect.event_callback(on_event).reconnect_to_server_callback(before_calls);
        Ok(Self { client: connect.connect(options.servers).await?, news, said })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn is_up(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Whether it is to one of several servers that belong together, as far as is known.
    pub(super) fn is_to_cluster(&self) -> bool {
        self.client.try_server_info().is_none_or(|info| info.cluster.is_some())
    }

    /// Which connection this is: counts from 1.
    pub(super) fn connection(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    /// Waits until there is a connection.
    pub(super) async fn up(&self) {
        self.until(Self::is_up).await;
    }

    /// Waits until this connection is gone.
    pub(super) async fn lost(&self, connection: u64) {
        self.until(|link| !link.is_up() || link.connection() != connection).await;
    }

    async fn until(&self, done: impl Fn(&Self) -> bool) {
        let mut news = self.news.clone();
        while !done(self) {
            tokio::select! {
                Ok(()) = news.changed() => {}
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Why there is no connection.
    pub(super) fn why_down(&self) -> String {
        let said = self.said().unwrap_or_else(|| "the connection was lost".to_owned());
        let cure = match said.to_lowercase() {
            said if said.contains("authori") || said.contains("authentication") => "check nodes.credentials",
            said if said.contains("tls") || said.contains("certificate") => "check nodes.ca, nodes.certificate and nodes.key",
            _ => "check that it runs, and nodes.nats",
        };
        format!("no NATS server can be reached: {said}; {cure}")
    }

    /// Why there is no answer, though there is a connection.
    pub(super) fn why_silent(&self) -> String {
        match self.said() {
            Some(said) => format!("NATS does not answer, and has said: {said}; check what nodes.credentials permit"),
            None => "NATS does not answer; check that most of its servers run and reach each other".to_owned(),
        }
    }

    fn said(&self) -> Option<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What an event says to be wrong: nothing, not any more, or this.
fn news_in(event: Event) -> Option<Option<String>> {
    match event {
        Event::Connected => Some(None),
        Event::ServerError(error) => Some(Some(error.to_string())),
        // Only the kind of it, which the failures of the servers tell with the cause.
        Event::ClientError(_) | Event::Disconnected | Event::LameDuckMode | Event::Draining | Event::Closed | Event::SlowConsumer(_) => {
            None
        }
    }
}

/// Why the last calls failed.
fn failures_of(servers: &[async_nats::Server]) -> Option<String> {
    let failures: Vec<_> = servers
        .iter()
        .filter_map(|server| server.last_error.as_ref().map(|error| format!("{}:{}: {error}", server.addr.host(), server.addr.port())))
        .collect();
    (!failures.is_empty()).then(|| failures.join(", "))
}
