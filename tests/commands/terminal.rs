//! Bars, and what is typed, in a pseudo-terminal.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use crate::Broker;

/// Runs its arguments in a terminal of 100 columns, copies what appears on it, and types what it is given.
const PTY: &str = "
import fcntl, os, pty, select, struct, sys, termios
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 100, 0, 0))
    os.execv(sys.argv[1], sys.argv[1:])
sources = [terminal, 0]
while terminal in sources:
    for source in select.select(sources, [], [])[0]:
        try:
            block = os.read(source, 65536)
        except OSError:
            block = b''
        if not block:
            sources.remove(source)
        elif source == terminal:
            os.write(1, block)
        else:
            os.write(terminal, block)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

/// The program on a terminal.
struct Terminal {
    child: Child,
    shown: String,
}

impl Terminal {
    fn new(broker: &Broker, arguments: &[&str]) -> Self {
        Self::with(broker, arguments, "TERM", "xterm-256color")
    }

    /// A terminal with this in the program's environment.
    fn with(broker: &Broker, arguments: &[&str], name: &str, value: &str) -> Self {
        let child = Command::new("python3")
            .args(["-c", PTY, env!("CARGO_BIN_EXE_msgstream")])
            .args(arguments)
            .env("MSGSTREAM_SERVER", &broker.address)
            .env("TERM", "xterm-256color")
            .env(name, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        Self { child, shown: String::new() }
    }

    /// Waits until this has been shown.
    #[track_caller]
    fn until(&mut self, part: &str) {
        let mut block = [0; 4096];
        while !self.shown.contains(part) {
            let count = self.child.stdout.as_mut().expect("a pipe").read(&mut block).unwrap();
            assert_ne!(count, 0, "{part:?} was not shown: {}", self.shown);
            self.shown.push_str(&String::from_utf8_lossy(&block[..count]));
        }
    }

    fn type_in(&mut self, keys: &str) {
        self.child.stdin.as_mut().expect("a pipe").write_all(keys.as_bytes()).unwrap();
    }

    /// The exit code, and all that has been shown.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = Vec::new();
        self.child.stdout.take().expect("a pipe").read_to_end(&mut rest).unwrap();
        self.shown.push_str(&String::from_utf8_lossy(&rest));
        (self.child.wait().unwrap().code(), std::mem::take(&mut self.shown))
    }
}

impl Drop for Terminal {
    /// Ends the terminal, and with it, by a hang-up, what runs on it: a test that fails leaves nothing behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_terminal_shows_bars_and_lines_above_them() {
    let broker = Broker::start();
    let object = |class: &str, state: &str| format!(r#"{{".class":"monitor.{class}",".version":"1.0",".state":{state}}}"#);
    broker.ok(&["header", "job-1", &object("Join", r#"{"title":"a fit","k":2,"total":10,"units":"steps"}"#)]);
    broker.ok(&["header", "job-2", r#"{"k":1,"total":4}"#]);
    let mut terminal = Terminal::new(&broker, &["listen", "job-1", "job-2"]);
    terminal.until("2/10 steps");
    terminal.until("1/4");
    broker.ok(&["put", "job-1", &object("Log", r#"{"text":"a line of the log \u001b[2J"}"#)]);
    terminal.until("job-1: a line of the log \u{fffd}[2J");
    broker.ok(&["put", "job-1", &object("Progress", r#"{"k":7,"text":"cooling"}"#)]);
    terminal.until("7/10 steps cooling");
    broker.ok(&["put", "job-2", "[1.5,true]"]);
    terminal.until("job-2: [1.5,true]");
    broker.ok(&["put", "job-1", &object("Improvement", r#"{"value":2.5,"chisq":1.25}"#)]);
    terminal.until("job-1: better: 2.5, chisq 1.25");
    broker.ok(&["close", "job-1", &object("Complete", "{}")]);
    terminal.until("7/10 steps done");
    broker.ok(&["close", "job-2"]);
    terminal.until("1/4 ended");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0));
    assert!(shown.contains("a fit") && shown.contains('█'), "{shown}");
}

/// What a job has to say takes no more of the line than leaves room for the bar.
#[test]
fn long_titles_and_texts_leave_room_for_the_bar() {
    let broker = Broker::start();
    let long = "so long ".repeat(20);
    broker.ok(&["header", "job", &format!(r#"{{"k":1,"total":2,"title":"{long}","text":"{long}"}}"#)]);
    broker.ok(&["close", "job"]);
    let (_, shown) = Terminal::new(&broker, &["listen", "job"]).end();
    assert!(shown.contains('█') && shown.contains("so long") && shown.contains('…'), "{shown}");
}

/// A command under `run` never says how far it is, and may be quiet for long.
#[test]
fn a_job_that_does_not_say_how_far_it_is_shows_how_long_it_runs() {
    let broker = Broker::start();
    broker.ok(&["header", "job", r#"{".class":"monitor.Start",".version":"1.0",".state":{"title":"make all"}}"#]);
    let mut terminal = Terminal::new(&broker, &["listen", "job"]);
    terminal.until(" 0s");
    terminal.until(" 1s");
    broker.ok(&["close", "job"]);
    let (_, closed) = terminal.end();
    assert!(closed.contains(" ended") && !closed.contains(" 0 "), "it has not said 0: {closed:?}");
}

/// Without a terminal the same command prints the lines of the protocol, and with `--json` so it does on one.
#[test]
fn json_is_for_terminals_too() {
    let broker = Broker::start();
    broker.ok(&["header", "job", r#"{"k":1,"total":4}"#]);
    broker.ok(&["close", "job"]);
    let (code, shown) = Terminal::new(&broker, &["listen", "job", "--json"]).end();
    let expected =
        "{\"action\":\"put\",\"stream\":\"job\",\"message\":{\"k\":1,\"total\":4}}\r\n{\"action\":\"close\",\"stream\":\"job\"}\r\n";
    assert_eq!((code, shown.as_str()), (Some(0), expected));
}

/// What a terminal has shown last stays there when the time is up.
#[test]
fn bars_stay_when_listening_ends_before_the_job() {
    let broker = Broker::start();
    broker.ok(&["header", "job", r#"{"k":1,"total":4}"#]);
    let (_, shown) = Terminal::new(&broker, &["listen", "job", "--count", "1"]).end();
    let erased = shown.rfind("\u{1b}[2K").unwrap_or_default();
    assert!(shown[erased..].contains("1/4"), "{shown:?}");
}

/// Who wants no colours, or has a terminal that can draw nothing, still gets to see something.
#[test]
fn a_terminal_without_colours_shows_messages_as_well() {
    let broker = Broker::start();
    broker.ok(&["header", "job", "\"a line\""]);
    broker.ok(&["close", "job"]);
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let (_, shown) = Terminal::with(&broker, &["listen", "job"], name, value).end();
        assert!(shown.contains("a line") && shown.contains("ended"), "{name}={value}: {shown}");
    }
}

/// Somebody who gave no header is told that it is waited for, as `put` tells it of its lines.
#[test]
fn what_is_typed_is_asked_for() {
    let broker = Broker::start();
    let mut terminal = Terminal::new(&broker, &["header", "job"]);
    terminal.until("the header, ended by Ctrl-D");
    terminal.type_in("{\"k\":1}\n\u{4}");
    assert_eq!(terminal.end().0, Some(0));
    assert_eq!(broker.ok(&["get", "job"]), "{\"k\":1}\n");

    let mut terminal = Terminal::new(&broker, &["put", "job"]);
    terminal.until("one message a line, ended by Ctrl-D");
    terminal.type_in("\u{4}");
    assert_eq!(terminal.end().0, Some(0));
}
