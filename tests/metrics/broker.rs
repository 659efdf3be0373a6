//! A broker in this runtime, clients that count what they say and hear, and the figures that the broker tells.

use std::collections::BTreeMap;
use std::time::Duration;

use msgstream::broker::{Metrics, MetricsFormat, Server, Settings, Tokens};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How long something may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A broker.
pub(crate) struct Broker {
    pub(crate) metrics: Metrics,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) addresses: Vec<String>,
}

impl Broker {
    /// One that listens on a port.
    pub(crate) fn start(settings: &Settings) -> Self {
        Self::start_on(&["127.0.0.1:0"], settings)
    }

    /// One that listens on these addresses.
    pub(crate) fn start_on(listen: &[&str], settings: &Settings) -> Self {
        let listen: Vec<_> = listen.iter().map(|address| address.parse().unwrap()).collect();
        let server = Server::bind(&listen, settings).unwrap();
        let addresses = server.addresses().iter().map(ToString::to_string).collect();
        let (metrics, tokens) = (server.metrics(), server.tokens());
        tokio::spawn(server.run(std::future::pending(), std::future::pending()));
        Self { metrics, tokens, addresses }
    }

    pub(crate) async fn connect(&self) -> Client {
        self.connect_to(&self.addresses[0]).await
    }

    pub(crate) async fn connect_to(&self, address: &str) -> Client {
        Client { socket: TcpStream::connect(address).await.unwrap(), sent: 0, heard: 0 }
    }

    /// All figures now.
    pub(crate) fn figures(&self) -> Figures {
        Figures::of(&self.metrics.render(MetricsFormat::Text))
    }

    /// One figure now.
    #[track_caller]
    pub(crate) fn figure(&self, name: &str) -> f64 {
        self.figures().get(name)
    }

    /// Waits until a figure is this.
    pub(crate) async fn until(&self, name: &str, wanted: f64) {
        let reached = async {
            while self.figure(name) != wanted {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = timeout(PATIENCE, reached).await;
        assert!(reached.is_ok(), "{name} is {}, not {wanted}", self.figure(name));
    }
}

/// Values by name and labels, as they are written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figures(pub(crate) BTreeMap<String, f64>);

impl Figures {
    /// Of what a broker told.
    pub(crate) fn of(told: &str) -> Self {
        let mut all = BTreeMap::new();
        for line in told.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let before = all.insert(name.to_owned(), value.parse().unwrap());
            assert_eq!(before, None, "{name} is told twice");
        }
        Self(all)
    }

    #[track_caller]
    pub(crate) fn get(&self, name: &str) -> f64 {
        *self.0.get(name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// What is not 0 of a family, by its labels.
    pub(crate) fn not_zero(&self, family: &str) -> BTreeMap<&str, f64> {
        let own = self.0.iter().filter(|(_, value)| **value != 0.0);
        own.filter_map(|(name, value)| Some((name.strip_prefix(family)?.strip_prefix('{')?.strip_suffix('}')?, *value))).collect()
    }
}

/// A client that speaks JSON lines.
pub(crate) struct Client {
    socket: TcpStream,
    /// How many bytes it has sent and read.
    pub(crate) sent: u64,
    pub(crate) heard: u64,
}

impl Client {
    pub(crate) async fn say(&mut self, text: &str) {
        self.say_bytes(text.as_bytes()).await;
    }

    pub(crate) async fn say_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
        self.sent += bytes.len() as u64;
    }

    /// What comes until the text stands in it.
    pub(crate) async fn hear(&mut self, until: &str) -> String {
        let heard = timeout(PATIENCE, self.read(Some(until))).await;
        heard.unwrap_or_else(|_| panic!("{until} does not come"))
    }

    /// What comes until the end.
    pub(crate) async fn rest(&mut self) -> String {
        timeout(PATIENCE, self.read(None)).await.expect("it ends")
    }

    async fn read(&mut self, until: Option<&str>) -> String {
        let mut heard = Vec::new();
        while until.is_none_or(|until| memchr::memmem::find(&heard, until.as_bytes()).is_none()) {
            if self.socket.read_buf(&mut heard).await.unwrap() == 0 {
                assert_eq!(until, None, "it ended");
                break;
            }
        }
        self.heard += heard.len() as u64;
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// What comes until all that was said has taken effect.
    pub(crate) async fn ping(&mut self) -> String {
        self.say("{\"action\":\"ping\"}\n").await;
        self.hear("\"pong\"}\n").await
    }
}
