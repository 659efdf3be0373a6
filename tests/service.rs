//! The program as systemd meets it: what it tells, and the sockets that it is handed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap in a test is a failed test")]

mod started;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use started::Started;

/// How long anything may take: far more than it does.
const LONG: Duration = Duration::from_secs(60);

/// A command with an environment that holds nothing of ours.
fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    let ours = ["MSGSTREAM_", "LISTEN_", "NOTIFY_", "WATCHDOG_"];
    for (name, _) in std::env::vars_os() {
        if ours.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_msgstream");

/// A path for a socket that no other test uses. Not in the target directory, whose path may be longer than a socket's may be.
fn socket_path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("msgstream-service-{}-{name}", std::process::id()))
}

/// A broker that is handed up to two sockets, as systemd does: from descriptor 3 on. The shell puts them there.
fn with_sockets(sockets: Vec<OwnedFd>, names: &str, arguments: &[&str]) -> Started {
    let mut command = clean("sh");
    let place = "export LISTEN_PID=$$; exec \"$@\" 3<&0 4<&1 </dev/null >/dev/null";
    command.args(["-c", place, "sh", PROGRAM, "serve"]).args(arguments);
    command.env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_FDNAMES", names);
    let mut sockets = sockets.into_iter().map(Stdio::from);
    command.stdin(sockets.next().expect("a socket")).stdout(sockets.next().unwrap_or_else(Stdio::null));
    Started::start(&mut command)
}

/// Stops it, which it must do in an orderly way.
fn stop(broker: Started) {
    broker.signal(Signal::TERM);
    let (code, log) = broker.end();
    assert_eq!(code, Some(0), "{log}");
}

/// Where systemd is told things.
struct Notified {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Notified {
    fn new(name: &str) -> Self {
        let path = socket_path(name);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        Self { socket, path }
    }

    fn next(&self) -> String {
        let mut buffer = [0; 1024];
        let length = self.socket.recv(&mut buffer).expect("systemd is told something");
        String::from_utf8(buffer[..length].to_vec()).unwrap().trim_end().to_owned()
    }

    /// What is told next beside how the broker stands.
    fn next_but_status(&self) -> String {
        std::iter::repeat_with(|| self.next()).find(|told| !told.starts_with("STATUS=")).unwrap()
    }
}

impl Drop for Notified {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[test]
fn systemd_is_told_that_the_broker_is_ready_how_it_stands_and_that_it_reloads_and_stops() {
    let systemd = Notified::new("notify");
    let mut command = clean(PROGRAM);
    command.args(["serve", "--listen", "127.0.0.1:0"]).env("NOTIFY_SOCKET", &systemd.path).env("WATCHDOG_USEC", "300000");
    let mut broker = Started::start(&mut command);
    let address = broker.wait_for("listening address=").split_once("address=").unwrap().1.trim().to_owned();
    assert_eq!(systemd.next(), "READY=1");

    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"{\"action\":\"header\",\"stream\":\"s\",\"message\":1}\n").unwrap();
    let standing = std::iter::repeat_with(|| systemd.next()).take(1000).find(|told| told.contains("1 connections, 1 streams"));
    let standing = standing.expect("it is told how the broker stands");
    assert!(standing.starts_with("STATUS=") && standing.ends_with(" a second delivered\nWATCHDOG=1"), "{standing}");

    let mut last = 0;
    for _ in 0..2 {
        broker.signal(Signal::HUP);
        let told = systemd.next_but_status();
        let time = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{told}"));
        let time: u64 = time.parse().unwrap();
        assert!(time > last, "{time} after {last}");
        last = time;
        assert_eq!(systemd.next_but_status(), "READY=1");
    }
    broker.signal(Signal::TERM);
    assert_eq!(systemd.next_but_status(), "STOPPING=1");
    let (code, log) = broker.end();
    assert_eq!(code, Some(0), "{log}");
}

fn health(address: &str) -> (Option<i32>, String) {
    let output = clean(PROGRAM).args(["health", "--timeout", "60s", "--server", address]).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn sockets_that_are_handed_in_outlast_the_broker() {
    let (tcp, path) = (TcpListener::bind("127.0.0.1:0").unwrap(), socket_path("handed-in"));
    let unix = UnixListener::bind(&path).unwrap();
    let (packed, file) = (format!("msgpack+tcp://{}", tcp.local_addr().unwrap()), format!("unix:{}", path.display()));
    let start = || {
        let sockets = vec![tcp.try_clone().unwrap().into(), unix.try_clone().unwrap().into()];
        // The first is told what is spoken there; the second has the name that systemd gives by itself, and takes the place of the
        // address of the command line.
        with_sockets(sockets, "msgpack+tcp:msgstream.socket", &["--listen", &file])
    };
    let mut broker = start();
    broker.wait_for(&format!("listening address={packed}"));
    broker.wait_for(&format!("listening address={file}"));
    assert_eq!(health(&file), (Some(0), String::new()));
    let mut client = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client.write_all(b"\0\0\0\x0d\x81\xa6action\xa4ping").unwrap();
    let mut answer = [0; 17];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"\0\0\0\x0d\x81\xa6action\xa4pong");
    drop(client);
    stop(broker);

    assert!(path.exists(), "the file is not the broker's to remove");
    assert!(!PathBuf::from(format!("{}.lock", path.display())).exists(), "nor does it lock what is not its own");
    let mut waiting = UnixStream::connect(&path).expect("it waits for the next broker");
    waiting.write_all(b"{\"action\":\"ping\"}\n").unwrap();
    waiting.set_read_timeout(Some(LONG)).unwrap();
    let broker = start();
    let mut answer = String::new();
    BufReader::new(&waiting).read_line(&mut answer).unwrap();
    assert_eq!(answer, "{\"action\":\"pong\"}\n");
    stop(broker);
    fs::remove_file(path).unwrap();
}

/// Asks whether the broker is well, over HTTP, and returns the beginning of the answer.
fn asked_for_health(mut socket: impl Read + Write) -> String {
    socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    BufReader::new(socket).read_line(&mut answer).unwrap();
    answer
}

#[test]
fn http_is_spoken_at_sockets_that_are_named_so() {
    let (tcp, path) = (TcpListener::bind("127.0.0.1:0").unwrap(), socket_path("handed-in-http"));
    let unix = UnixListener::bind(&path).unwrap();
    let address = tcp.local_addr().unwrap();
    let connect = || {
        let client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        client
    };
    let start = || {
        let sockets = vec![tcp.try_clone().unwrap().into(), unix.try_clone().unwrap().into()];
        let mut broker = with_sockets(sockets, "http:http", &["--listen", "127.0.0.1:0", "--http", &address.to_string()]);
        broker.wait_for(&format!("listening for HTTP url=\"http://{address}/\""));
        broker.wait_for(&format!("listening for HTTP url=\"unix:{}\"", path.display()));
        broker
    };
    let broker = start();
    assert_eq!(asked_for_health(connect()), "HTTP/1.1 200 OK\r\n");
    let over_unix = UnixStream::connect(&path).unwrap();
    over_unix.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(asked_for_health(over_unix), "HTTP/1.1 200 OK\r\n");
    stop(broker);

    let waiting = connect();
    let broker = start();
    assert_eq!(asked_for_health(waiting), "HTTP/1.1 200 OK\r\n", "it has waited for the next broker");
    stop(broker);
    fs::remove_file(path).unwrap();
}

#[test]
fn sockets_that_cannot_be_used_are_told_with_the_cure() {
    let tcp = || TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = || {
        let listener = tcp();
        TcpStream::connect(listener.local_addr().unwrap()).unwrap()
    };
    let shared = tcp();
    let packed = format!("msgpack+tcp://{}", shared.local_addr().unwrap());
    let web = tcp();
    let lines = web.local_addr().unwrap().to_string();
    let open = TcpListener::bind("0.0.0.0:0").unwrap();
    let cases: [(OwnedFd, &str, &str, &[&str]); 9] = [
        (UdpSocket::bind("127.0.0.1:0").unwrap().into(), "x", "neither TCP nor a Unix stream socket", &[]),
        (connected().into(), "connection", "leave Accept=yes out", &[]),
        (tcp().into(), "json", "for HTTP name it http or https", &[]),
        (tcp().into(), "unix", "it listens on 127.0.0.1:", &[]),
        (shared.into(), "msgstream.socket", "is listed twice", &["--listen", &packed]),
        (web.into(), "http", "is listed twice", &["--listen", &lines]),
        (tcp().into(), "https", "name a file in PEM", &["--listen", "127.0.0.1:0"]),
        (tcp().into(), "msgpack+http", "there is no \"msgpack+http\" transport", &[]),
        (open.into(), "http", "auth.allow_anonymous", &["--listen", "127.0.0.1:0"]),
    ];
    for (socket, name, why, arguments) in cases {
        let (code, said) = with_sockets(vec![socket], name, arguments).end();
        assert_eq!(code, Some(78), "{name}: {said}");
        assert!(said.contains(why), "{name}: {said}");
    }
}
