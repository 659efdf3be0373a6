//! The command line as its user meets it, each subcommand that talks to a broker, on a real one.
//!
//! - `messages`: listen, put, header, get, close, delete.
//! - `jobs`: wait.
//! - `directory`: streams.
//! - `nodes`: nodes, on a NATS server.
//! - `top`: top, on the pseudo-terminal of `screen`.
//! - `prefixes`: listen --prefix.
//! - `server`: which broker is talked to.
//! - `given`: addresses, tokens and certificates that cannot be used.
//! - `token`: who is let in.
//! - `store`: the file of a store.
//! - `put`: the lines of standard input, and a broker that goes and comes back.
//! - `run`: a command as a job.
//! - `ends`: how jobs ended, in words and exit codes, and which run it was.
//! - `away`: streams and brokers that are waited for.
//! - `terminal`: bars, on the pseudo-terminal of `screen`.
//! - `completions`: names of streams in shells.
//! - `health`: health.
//! - `pages`: help, completions, manual pages.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap in a test is a failed test")]

mod away;
#[path = "../certificates/mod.rs"]
mod certificates;
mod completions;
mod directory;
mod ends;
mod folder;
mod given;
mod health;
mod jobs;
mod messages;
#[path = "../nats/server.rs"]
#[allow(dead_code, reason = "it is that of other tests")]
mod nats;
mod nodes;
mod pages;
mod prefixes;
mod put;
mod run;
mod screen;
mod server;
mod store;
mod terminal;
mod token;
mod top;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// A broker in a process of its own, killed when the test ends.
struct Broker {
    child: Child,
    address: String,
}

impl Broker {
    fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    fn start_at(address: &str) -> Self {
        Self::serve(program(&["serve", "--listen", address]))
    }

    /// One that waits only so long for those whose connection was lost.
    fn impatient(session_time: &str) -> Self {
        let mut serve = program(&["serve", "--listen", "127.0.0.1:0"]);
        serve.env("MSGSTREAM_LIMITS__SESSION_TIME", session_time);
        Self::serve(serve)
    }

    fn serve(mut serve: Command) -> Self {
        let mut child = serve.stderr(Stdio::piped()).spawn().expect("the program runs");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert_ne!(log.read_line(&mut line).expect("UTF-8"), 0, "the broker did not start");
            if let Some((_, address)) = line.split_once("listening address=") {
                break address.trim().to_owned();
            }
        };
        // Whatever it says later must not stop it.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, address }
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts a stopped broker again, where it was.
    fn start_again(&mut self) {
        *self = Self::start_at(&self.address);
    }

    /// Waits until somebody listens to the stream, as the receipt of a message that means nothing tells.
    fn until_joined(&self, stream: &str) {
        self.until_taken(stream, "null");
    }

    /// Puts a message until a listener takes it, as its receipt tells; that is the first it hears.
    fn until_taken(&self, stream: &str, message: &str) {
        let message = msgstream::job::Content::from_json(message).expect("JSON");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let remote = msgstream::client::RemoteStream::connect(&self.address).await.expect("our broker");
            while remote.confirmed().put(stream, &message).await.expect("our broker").listeners == Some(0) {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Sends lines of the protocol, which all take effect.
    fn send(&self, lines: &str) {
        let mut socket = std::net::TcpStream::connect(&self.address).expect("our broker");
        socket.write_all(format!("{lines}{{\"action\":\"close\"}}\n").as_bytes()).expect("our broker");
        socket.read_to_string(&mut String::new()).expect("our broker");
    }

    /// The program, told where this broker is.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.env("MSGSTREAM_SERVER", &self.address);
        command
    }

    /// Runs the program to its end.
    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program runs")
    }

    /// Runs the program, which must succeed, and returns what it printed.
    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""), "{arguments:?}");
        text(&output.stdout).to_owned()
    }

    /// Runs the program with this as its standard input.
    fn with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child =
            self.command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
        // It may have had enough before it has read all.
        let _ = child.stdin.take().expect("a pipe").write_all(input);
        child.wait_with_output().expect("our child")
    }

    /// A listener that has joined already: the stream gets a header, which is the first line it prints.
    fn listen(&self, arguments: &[&str]) -> Listening {
        let stream = arguments[0];
        self.ok(&["header", stream, "\"here\""]);
        let arguments: Vec<&str> = ["listen"].into_iter().chain(arguments.iter().copied()).collect();
        let mut child = self.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut first = String::new();
        lines.read_line(&mut first).expect("UTF-8");
        assert_eq!(first, format!("{{\"action\":\"put\",\"stream\":\"{stream}\",\"message\":\"here\"}}\n"));
        Listening { child, lines }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A running `msgstream listen`.
struct Listening {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Listening {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("UTF-8");
        line.trim_end().to_owned()
    }

    /// The exit code, and what it has printed since, to standard output and to standard error.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut rest, mut said) = (String::new(), String::new());
        self.lines.read_to_string(&mut rest).expect("UTF-8");
        self.child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("UTF-8");
        (self.child.wait().expect("our child").code(), rest, said)
    }
}

/// The program, with an environment that holds nothing of ours.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_msgstream"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MSGSTREAM_")) {
        command.env_remove(name);
    }
    // No file of the user who runs the tests.
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A message of the class.
fn object(class: &str, state: &str) -> String {
    format!(r#"{{".class":"monitor.{class}",".version":"1.0",".state":{state}}}"#)
}

/// A time in the past, as messages carry it.
fn ago(seconds: i64) -> String {
    let then = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
    then.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// The exit code and what was said to standard error.
#[track_caller]
fn assert_fails(output: &Output, code: i32, part: &str) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(part), "{part:?} is not in: {said}");
}
