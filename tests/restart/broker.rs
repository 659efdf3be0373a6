//! A broker with a store, as a process, and a client of it.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::started::Started;

/// How long anything may take: far more than it does.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A directory of its own, removed with it.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("msgstream-restart-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A file with these settings.
    pub(crate) fn settings(&self, text: &str) -> String {
        let file = self.0.join("settings.toml");
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A broker that keeps what it has in a place.
pub(crate) struct Broker {
    process: Started,
    pub(crate) port: u16,
}

impl Broker {
    /// Starts it on this port, 0 for any.
    pub(crate) fn start(place: &Place, port: u16) -> Self {
        Self::start_with(place, port, &[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(place: &Place, port: u16, more: &[&str]) -> Self {
        let port_file = place.path().join("port");
        let _ = std::fs::remove_file(&port_file);
        // A file that may not grow is an error for the program, not its end.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_msgstream")]);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MSGSTREAM_") {
                command.env_remove(name);
            }
        }
        command.args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--port-file"]).arg(&port_file);
        command.arg("--store").arg(place.path().join("store.redb")).args(more);
        let mut process = Started::start(&mut command);
        process.wait_for(" listening");
        Self { process, port: told_port(&port_file) }
    }

    /// The process.
    pub(crate) fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// Reads the log up to a line that has this in it.
    pub(crate) fn wait_for(&mut self, part: &str) -> String {
        self.process.wait_for(part)
    }

    /// Kills it, without a chance to do anything.
    pub(crate) fn kill(self) {
        self.process.signal(Signal::KILL);
        self.process.end();
    }

    /// Stops it in good order. Returns what it logged.
    pub(crate) fn stop(self) -> String {
        self.process.signal(Signal::TERM);
        self.ended()
    }

    /// Waits until it has stopped, as it was told to. Returns what it logged.
    pub(crate) fn ended(self) -> String {
        let (code, log) = self.process.end();
        assert_eq!(code, Some(0), "{log}");
        log
    }
}

/// The port in a file that a broker writes, as soon as it is there.
pub(crate) fn told_port(file: &Path) -> u16 {
    let began = Instant::now();
    loop {
        if let Some(port) = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()) {
            return port;
        }
        assert!(began.elapsed() < LONG, "the broker has told no port");
        std::thread::yield_now();
    }
}

/// A client that says and hears lines.
pub(crate) struct Client {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        Self { stream, lines }
    }

    /// Says a line, if the broker is still there.
    pub(crate) fn try_say(&mut self, line: &str) -> io::Result<()> {
        self.stream.write_all(format!("{line}\n").as_bytes())
    }

    pub(crate) fn say(&mut self, line: &str) {
        self.try_say(line).unwrap();
    }

    /// The next line. None if the broker is gone.
    pub(crate) fn try_hear(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            // A line that was cut is none.
            Ok(_) if line.ends_with('\n') => Some(serde_json::from_str(&line).unwrap()),
            Ok(_) | Err(_) => None,
        }
    }

    pub(crate) fn hear(&mut self) -> Value {
        self.try_hear().expect("a line")
    }

    /// All lines up to the answer of a ping.
    pub(crate) fn hear_all(&mut self) -> Vec<Value> {
        self.say(r#"{"action":"ping"}"#);
        std::iter::from_fn(|| Some(self.hear()).filter(|line| line["action"] != "pong")).collect()
    }

    /// Another way to say lines, for another thread.
    pub(crate) fn clone_to_say(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }
}
