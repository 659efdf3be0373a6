//! The broker as a process.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::Signal;
use sha2::{Digest, Sha256};

use super::{Client, Encoding, Process, Socket, Transport, descriptors_for, encryption, group, until};

/// The variable that names another program to be tested than the one that cargo built.
const PROGRAM: &str = "MSGSTREAM_BIN";

/// The variable with the address of a NATS server, `nats://HOST:PORT`. With it, each broker is the only node of a space of its own there.
const NATS: &str = "MSGSTREAM_TEST_NATS";

/// Whether brokers are nodes.
pub(crate) fn are_nodes() -> bool {
    std::env::var_os(NATS).is_some()
}

/// The settings that a broker starts with. Those that are not set have their defaults.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// In the order of their keys; a key set twice has the later value.
    values: BTreeMap<String, String>,
    /// Who may do what, as tables of the tokens' file.
    tokens: String,
    descriptors: Option<u32>,
    log_breaks_off: bool,
    is_encrypted: bool,
    speaks_http: bool,
}

/// The defaults.
pub(crate) fn settings() -> Settings {
    Settings::default()
}

impl Settings {
    /// Sets a key such as `limits.line`. Numbers and lists go as they are, everything else as text.
    pub(crate) fn set(mut self, key: &str, value: impl ToString) -> Self {
        let value = value.to_string();
        let bare = value.parse::<i64>().is_ok() || value == "true" || value == "false" || value.starts_with('[');
        self.values.insert(key.to_owned(), if bare { value } else { format!("{value:?}") });
        self
    }

    /// Lets lines have so many bytes at most. Other limits must have room for a line, so this is what lowers them all.
    pub(crate) fn short_lines(self, most: usize) -> Self {
        self.set("limits.line", most).set("limits.header", most)
    }

    /// The same broker as the only node of a space that nobody else has, if the tests are to be held by such.
    fn into_a_node(self) -> Self {
        let Ok(nats) = std::env::var(NATS) else { return self };
        let space = format!("test-{}-{:016x}", std::process::id(), RandomState::new().build_hasher().finish());
        self.set("nodes.nats", format!("[{nats:?}]")).set("nodes.space", space).set("nodes.name", "only").set("nodes.log", "64MiB")
    }

    fn toml(&self) -> String {
        self.values.iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
    }

    /// Whoever reads the broker's log goes away once the broker listens, as `head` does.
    pub(crate) fn log_breaks_off(mut self) -> Self {
        self.log_breaks_off = true;
        self
    }

    /// The broker listens on two TLS ports as well, with a certificate of the group's authority.
    pub(crate) fn encrypted(mut self) -> Self {
        self.is_encrypted = true;
        self
    }

    /// The broker speaks HTTP as well, or HTTPS if it listens on TLS ports.
    pub(crate) fn http(mut self) -> Self {
        self.speaks_http = true;
        self
    }

    /// Has the broker let in who shows this token, or proves to be somebody in another way that the rights tell.
    pub(crate) fn token(mut self, token: &str, rights: &str) -> Self {
        self.tokens += &table(token, rights);
        self
    }

    /// How many descriptors the broker may have (`ulimit -n`).
    pub(crate) fn descriptors(mut self, most: u32) -> Self {
        self.descriptors = Some(most);
        self
    }
}

/// A running broker, ended when it is dropped. It listens on two TCP ports of its own and on two Unix sockets, one each for
/// JSON lines and for MessagePack.
#[derive(Debug)]
pub(crate) struct Broker {
    child: Child,
    addr: SocketAddr,
    packed_addr: SocketAddr,
    /// For TLS, if it is spoken: for JSON lines, and for MessagePack.
    encrypted: Option<[SocketAddr; 2]>,
    http: Option<SocketAddr>,
    place: Place,
    log: Arc<Mutex<Vec<String>>>,
}

impl Broker {
    /// Starts a broker and waits until it listens.
    pub(crate) fn start(settings: Settings) -> Self {
        // Before the start, since the child inherits the limit.
        descriptors_for(usize::MAX);
        let (place, mut settings) = (Place::new(), settings.into_a_node());
        if !settings.tokens.is_empty() {
            fs::write(place.file("tokens.toml"), &settings.tokens).unwrap();
            settings = settings.set("auth.tokens", place.file("tokens.toml").display());
        }
        let mut listen = Vec::new();
        if settings.is_encrypted {
            let files = group().local().write(&place.0, "broker");
            settings = settings.set("tls.certificate", files.certificate.display()).set("tls.key", files.key.display());
            listen.extend(["--listen", "tls://127.0.0.1:0", "--listen", "msgpack+tls://127.0.0.1:0"]);
        }
        if settings.speaks_http {
            settings = settings.set("http.port_file", place.file("http-port").display());
            listen.extend(["--http", if settings.is_encrypted { "tls://127.0.0.1:0" } else { "127.0.0.1:0" }]);
        }
        fs::write(place.file("config.toml"), settings.toml()).unwrap();
        let mut child = command(settings.descriptors)
            .args(["serve", "--log-format", "json", "--listen", "127.0.0.1:0", "--listen"])
            .arg(format!("unix:{}", place.file("socket").display()))
            .args(["--listen", "msgpack+tcp://127.0.0.1:0", "--listen"])
            .arg(format!("msgpack+unix:{}", place.file("packed").display()))
            .args(listen)
            .arg("--port-file")
            .arg(place.file("port"))
            .arg("--config")
            .arg(place.file("config.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = child.stderr.take().unwrap();
        let (log, unread) = if settings.log_breaks_off { (Arc::default(), Some(stderr)) } else { (collect(stderr), None) };
        let ports: Vec<u16> = until("the broker listens", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the broker ended at once: {status}\n{}", log.lock().unwrap().join("\n"));
            }
            fs::read_to_string(place.file("port")).ok()?.lines().map(|port| port.parse().ok()).collect()
        });
        if unread.is_none() && are_nodes() {
            // So that tests which count its descriptors do not take its connection to NATS for a client's.
            until("the node has come", || log.lock().unwrap().iter().any(|line| line.contains("a node has come")).then_some(()));
        }
        drop(unread);
        let http = settings.speaks_http.then(|| {
            let port = until("the broker speaks HTTP", || fs::read_to_string(place.file("http-port")).ok()?.trim().parse().ok());
            SocketAddr::from((Ipv4Addr::LOCALHOST, port))
        });
        let addr = |index: usize| SocketAddr::from((Ipv4Addr::LOCALHOST, ports[index]));
        let encrypted = settings.is_encrypted.then(|| [addr(2), addr(3)]);
        Self { child, addr: addr(0), packed_addr: addr(1), encrypted, http, place, log }
    }

    /// Writes another configuration file, and has the broker read it.
    pub(crate) fn reload(&self, toml: &str) {
        fs::write(self.place.file("config.toml"), toml).unwrap();
        self.process().signal(Signal::HUP);
    }

    /// A new client over TCP.
    pub(crate) fn client(&self) -> Client {
        Client::new(Socket::tcp(self.addr))
    }

    /// A new client over TCP that speaks MessagePack.
    pub(crate) fn packed_client(&self) -> Client {
        self.client_over(Transport::Tcp, Encoding::MessagePack)
    }

    /// A new client over the given transport, in the given encoding.
    pub(crate) fn client_over(&self, transport: Transport, encoding: Encoding) -> Client {
        let (addr, file, number) = match encoding {
            Encoding::JsonLines => (self.addr, "socket", 0),
            Encoding::MessagePack => (self.packed_addr, "packed", 1),
        };
        let socket = match transport {
            Transport::Tcp => Socket::tcp(addr),
            Transport::Tls => Socket::tls(self.encrypted.expect("a broker with TLS")[number], encryption(None)),
            Transport::Unix => Socket::unix(&self.place.file(file)),
            Transport::WebSocket => Socket::websocket(self.http_addr()),
        };
        Client::speaking(socket, encoding.dialect())
    }

    /// The address of TCP, with JSON lines.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address where TLS is spoken, with JSON lines.
    pub(crate) fn encrypted_addr(&self) -> SocketAddr {
        self.encrypted.expect("a broker with TLS")[0]
    }

    /// The address where HTTP is spoken.
    pub(crate) fn http_addr(&self) -> SocketAddr {
        self.http.expect("a broker with HTTP")
    }

    /// A new client over TCP that listens to the stream already.
    pub(crate) fn listener(&self, stream: &str) -> Client {
        Self::listening(self.client(), stream)
    }

    /// The same, with so little room in the kernel that it is soon noticed when it does not read.
    pub(crate) fn slow_listener(&self, stream: &str) -> Client {
        Self::listening(Client::new(Socket::tcp_with_little_room(self.addr)), stream)
    }

    fn listening(mut client: Client, stream: &str) -> Client {
        client.send(&format!(r#"{{"action":"listen","stream":"{stream}"}}"#));
        client.settle();
        client
    }

    pub(crate) fn process(&self) -> Process {
        Process::new(self.child.id())
    }

    /// Memory in use, in bytes.
    pub(crate) fn rss(&self) -> usize {
        self.process().rss()
    }

    /// Open descriptors.
    pub(crate) fn fds(&self) -> usize {
        self.process().fds()
    }

    /// What the broker has logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Says anew who may do what, as the commands do it: in one step. Waits until the broker has read it.
    pub(crate) fn set_tokens(&self, tokens: &[(&str, &str)]) {
        let before = self.times_logged("tokens read again");
        self.write_tokens(tokens);
        until("the broker has read the tokens again", || (self.times_logged("tokens read again") > before).then_some(()));
    }

    /// The same without waiting.
    pub(crate) fn write_tokens(&self, tokens: &[(impl AsRef<str>, &str)]) {
        fs::write(self.place.file("tokens.new"), tokens_file(tokens)).unwrap();
        fs::rename(self.place.file("tokens.new"), self.place.file("tokens.toml")).unwrap();
    }

    /// How many lines of the log hold this text.
    pub(crate) fn times_logged(&self, text: &str) -> usize {
        self.log().iter().filter(|line| line.contains(text)).count()
    }

    /// A file in the broker's own directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.place.file(name)
    }

    /// Waits until a line of the log holds this text.
    pub(crate) fn until_logged(&self, text: &str) -> String {
        until(&format!("the log says {text:?}"), || self.log().into_iter().find(|line| line.contains(text)))
    }

    /// Whether somebody still listens on the port.
    pub(crate) fn accepts(&self) -> bool {
        TcpStream::connect(self.addr).is_ok()
    }

    /// Asks the broker to end.
    pub(crate) fn terminate(&self) {
        self.process().signal(Signal::TERM);
    }

    /// Stops the process while something is done, so that the broker finds all of it at once when it goes on.
    pub(crate) fn while_stopped(&self, act: impl FnOnce()) {
        self.process().signal(Signal::STOP);
        until("the broker stands still", || (self.process().state() == 'T').then_some(()));
        act();
        self.process().signal(Signal::CONT);
    }

    /// Waits until the broker has ended.
    pub(crate) fn until_ended(&mut self) -> ExitStatus {
        until("the broker ends", || self.child.try_wait().unwrap())
    }

    /// Fails if the broker has ended, or logged a panic.
    #[track_caller]
    pub(crate) fn assert_well(&mut self) {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "the broker has ended: {ended:?}\n{}", self.log().join("\n"));
        let panicked = self.log().into_iter().find(|line| line.contains("panicked"));
        assert!(panicked.is_none(), "{panicked:?}");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Ours by its handle, so that the id cannot have passed to a stranger. An error means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(30);
            eprintln!("the broker's last words:\n{}", log[from..].join("\n"));
        }
    }
}

/// The tokens' file.
fn tokens_file(tokens: &[(impl AsRef<str>, &str)]) -> String {
    tokens.iter().map(|(token, rights)| table(token.as_ref(), rights)).collect()
}

/// A table of the tokens' file, called as the token is behind `mst_`. Without a proof among the rights, the token is it.
fn table(token: &str, rights: &str) -> String {
    let name = token.trim_start_matches("mst_");
    let proof = if rights.contains("unix_user") { String::new() } else { format!("sha256 = \"{:x}\"\n", Sha256::digest(token)) };
    format!("[{name}]\n{proof}{}\n", rights.replace("; ", "\n"))
}

/// The program under test, allowed so many descriptors.
pub(crate) fn command(descriptors: Option<u32>) -> Command {
    let program = std::env::var_os(PROGRAM).unwrap_or_else(|| env!("CARGO_BIN_EXE_msgstream").into());
    let mut command = match descriptors {
        None => Command::new(program),
        Some(most) => {
            let mut command = Command::new("sh");
            command.arg("-c").arg(format!(r#"ulimit -n {most}; exec "$0" "$@""#)).arg(program);
            command
        }
    };
    // A setting that the broker does not know would stop it.
    command.env_remove(PROGRAM).env_remove(NATS);
    command
}

fn collect(stderr: ChildStderr) -> Arc<Mutex<Vec<String>>> {
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&log);
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            lines.lock().unwrap().push(line);
        }
    });
    log
}

/// A directory of one broker's own, gone with it.
#[derive(Debug)]
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Not under cargo's target directory: the path of a Unix socket has at most 107 bytes.
        let path = std::env::temp_dir().join(format!("msgstream-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
