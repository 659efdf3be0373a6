//! Bars, in a pseudo-terminal.

use std::io::Read;
use std::process::{Command, Stdio};

use crate::Broker;

/// Runs its arguments in a terminal of 100 columns and copies what appears on it.
const PTY: &str = "
import fcntl, os, pty, struct, sys, termios
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 100, 0, 0))
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    try:
        shown = os.read(terminal, 65536)
    except OSError:
        break
    if not shown:
        break
    os.write(1, shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

#[test]
fn a_terminal_shows_bars_and_lines_above_them() {
    let broker = Broker::start();
    let object = |class: &str, state: &str| format!(r#"{{".class":"monitor.{class}",".version":"1.0",".state":{state}}}"#);
    broker.ok(&["header", "job-1", &object("Join", r#"{"title":"a fit","k":2,"total":10,"units":"steps"}"#)]);
    broker.ok(&["header", "job-2", r#"{"k":1,"total":4}"#]);
    let mut child = Command::new("python3")
        .args(["-c", PTY, env!("CARGO_BIN_EXE_msgstream"), "listen", "job-1", "job-2"])
        .env("MSGSTREAM_SERVER", &broker.address)
        .env("TERM", "xterm-256color")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let mut screen = child.stdout.take().unwrap();
    let mut shown = String::new();
    let mut until = |part: &str| {
        let mut block = [0; 4096];
        while !shown.contains(part) {
            let count = screen.read(&mut block).unwrap();
            assert_ne!(count, 0, "{part:?} was not shown: {shown}");
            shown.push_str(&String::from_utf8_lossy(&block[..count]));
        }
    };
    until("2/10 steps");
    until("1/4");
    broker.ok(&["put", "job-1", &object("Log", r#"{"text":"a line of the log \u001b[2J"}"#)]);
    until("job-1: a line of the log \u{fffd}[2J");
    broker.ok(&["put", "job-1", &object("Progress", r#"{"k":7,"text":"cooling"}"#)]);
    until("7/10 steps cooling");
    broker.ok(&["put", "job-2", "[1.5,true]"]);
    until("job-2: [1.5,true]");
    broker.ok(&["put", "job-1", &object("Improvement", r#"{"value":2.5,"chisq":1.25}"#)]);
    until("job-1: better: 2.5, chisq 1.25");
    broker.ok(&["close", "job-1", &object("Complete", "{}")]);
    until("7/10 steps done");
    broker.ok(&["close", "job-2"]);
    until("1/4 ended");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(shown.contains("a fit") && shown.contains('█'), "{shown}");
}

/// Runs `listen job` on a terminal to its end and returns what it has shown.
fn shown(broker: &Broker) -> String {
    let output = Command::new("python3")
        .args(["-c", PTY, env!("CARGO_BIN_EXE_msgstream"), "listen", "job"])
        .env("MSGSTREAM_SERVER", &broker.address)
        .env("TERM", "xterm-256color")
        .stdin(Stdio::null())
        .output()
        .expect("python3 runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a job has to say takes no more of the line than leaves room for the bar.
#[test]
fn long_titles_and_texts_leave_room_for_the_bar() {
    let broker = Broker::start();
    let long = "so long ".repeat(20);
    broker.ok(&["header", "job", &format!(r#"{{"k":1,"total":2,"title":"{long}","text":"{long}"}}"#)]);
    broker.ok(&["close", "job"]);
    let shown = shown(&broker);
    assert!(shown.contains('█') && shown.contains("so long") && shown.contains('…'), "{shown}");
}

/// A command under `run` never says how far it is, and may be quiet for long.
#[test]
fn a_job_that_does_not_say_how_far_it_is_shows_how_long_it_runs() {
    let broker = Broker::start();
    broker.ok(&["header", "job", r#"{".class":"monitor.Start",".version":"1.0",".state":{"title":"make all"}}"#]);
    let closed = std::thread::scope(|scope| {
        let listening = scope.spawn(|| shown(&broker));
        std::thread::sleep(std::time::Duration::from_millis(2600));
        broker.ok(&["close", "job"]);
        listening.join().unwrap()
    });
    assert!(closed.contains(" 1s") || closed.contains(" 2s"), "the time stands still: {closed:?}");
    assert!(closed.contains(" ended") && !closed.contains(" 0 "), "it has not said 0: {closed:?}");
}

/// Without a terminal the same command prints the lines of the protocol, and with `--json` so it does on one.
#[test]
fn json_is_for_terminals_too() {
    let broker = Broker::start();
    broker.ok(&["header", "job", r#"{"k":1,"total":4}"#]);
    broker.ok(&["close", "job"]);
    let output = Command::new("python3")
        .args(["-c", PTY, env!("CARGO_BIN_EXE_msgstream"), "listen", "job", "--json"])
        .env("MSGSTREAM_SERVER", &broker.address)
        .stdin(Stdio::null())
        .output()
        .expect("python3 runs");
    let expected =
        "{\"action\":\"put\",\"stream\":\"job\",\"message\":{\"k\":1,\"total\":4}}\r\n{\"action\":\"close\",\"stream\":\"job\"}\r\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    assert_eq!(output.status.code(), Some(0));
}

/// What a terminal has shown last stays there when the time is up.
#[test]
fn bars_stay_when_listening_ends_before_the_job() {
    let broker = Broker::start();
    broker.ok(&["header", "job", r#"{"k":1,"total":4}"#]);
    let output = Command::new("python3")
        .args(["-c", PTY, env!("CARGO_BIN_EXE_msgstream"), "listen", "job", "--count", "1"])
        .env("MSGSTREAM_SERVER", &broker.address)
        .env("TERM", "xterm-256color")
        .stdin(Stdio::null())
        .output()
        .expect("python3 runs");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
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
        let output = Command::new("python3")
            .args(["-c", PTY, env!("CARGO_BIN_EXE_msgstream"), "listen", "job"])
            .env("MSGSTREAM_SERVER", &broker.address)
            .env("TERM", "xterm-256color")
            .env(name, value)
            .stdin(Stdio::null())
            .output()
            .expect("python3 runs");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(shown.contains("a line") && shown.contains("ended"), "{name}={value}: {shown}");
    }
}
