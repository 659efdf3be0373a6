//! How jobs end: exit codes, the lines that tell it, and runs that are passed over.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStderr, Command, Stdio};

use crate::screen::Terminal;
use crate::{Broker, ago, assert_fails, object, program, text};

/// The state of an end, of a run of four seconds.
fn end(more: &str, seconds_ago: i64) -> String {
    format!(r#"{{{more}"title":"make all","started":"{}","ended":"{}"}}"#, ago(seconds_ago + 4), ago(seconds_ago))
}

/// A program whose standard error is read line by line.
struct Said {
    child: Child,
    lines: BufReader<ChildStderr>,
}

impl Said {
    fn start(broker: &Broker, arguments: &[&str]) -> Self {
        Self::run(broker.command(arguments))
    }

    fn run(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The exit code, and the rest of standard output and standard error.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut printed, mut said) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        self.lines.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), printed, said)
    }
}

/// Whether it tells of an end of this test: just now, or some seconds ago on a slow machine.
fn is_late(told: &str) -> bool {
    told.contains(" ended just now") || told.contains(" ended ") && told.contains(" s ago")
}

/// The address of a broker that says of its stream that it ended 200 s ago.
fn old_end() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(socket.try_clone().unwrap()).lines().map_while(Result::ok);
            let listen = lines.find(|line| line.contains("\"listen\"")).unwrap_or_default();
            let receipt = listen.split_once("\"receipt\":").map(|(_, rest)| rest.trim_end_matches('}').to_owned()).unwrap_or_default();
            let answer = format!(r#"{{"action":"receipt","receipt":{receipt},"state":"ended","age":200.5}}"#);
            let end = r#"{"action":"close","stream":"job"}"#;
            (&socket).write_all(format!("{answer}\n{end}\n").as_bytes()).unwrap();
            // Until the client has gone.
            for _ in lines {}
        }
    });
    address
}

/// A fresh end is not taken for one of last week, nor the other way round.
#[test]
fn how_long_ago_a_stream_has_ended_is_told() {
    let address = old_end();
    let command = |arguments: &[&str]| {
        let mut command = program(arguments);
        command.env("MSGSTREAM_SERVER", &address);
        command
    };
    let told = "job ended 3 min ago (use --next to wait for its next run)\n";
    for arguments in [&["wait", "job"][..], &["listen", "job", "--plain"]] {
        assert_eq!(text(&command(arguments).output().unwrap().stdout), told);
    }
    let lines = command(&["listen", "job", "--json"]).output().unwrap();
    assert_eq!(text(&lines.stdout), "{\"action\":\"close\",\"stream\":\"job\"}\n");
    assert_eq!(text(&lines.stderr), "msgstream: \"job\" ended 3 min ago\n");
    for name in ["wait", "listen"] {
        let mut said = Said::run(command(&[name, "job", "--next"]));
        assert_eq!(said.line(), "msgstream: \"job\" ended 3 min ago; waiting for its next run", "{name}");
        said.child.kill().unwrap();
        said.end();
    }
}

#[test]
fn listen_passes_on_how_the_jobs_ended() {
    let broker = Broker::start();
    broker.ok(&["close", "good", &object("Complete", "{}")]);
    broker.ok(&["close", "silent"]);
    broker.ok(&["close", "aborted", &object("Abort", "{}")]);
    // As `run` and Python jobs end: the outcome first, and then the stream without a word.
    broker.ok(&["header", "bad", &object("Error", r#"{"reason":"no data"}"#)]);
    broker.ok(&["close", "bad"]);
    for (streams, code) in
        [(&["good", "silent"][..], 0), (&["bad"], 1), (&["good", "aborted"], 2), (&["aborted", "bad", "good"], 1), (&["bad", "--json"], 1)]
    {
        let output = broker.output(&[&["listen"], streams].concat());
        assert_eq!(output.status.code(), Some(code), "{streams:?}");
        // Since when is told, and no more.
        let said: Vec<&str> = text(&output.stderr).lines().collect();
        assert_eq!(said.len(), streams.iter().filter(|stream| !stream.starts_with("--")).count(), "{said:?}");
        assert!(said.iter().all(|line| is_late(line)), "{said:?}");
    }
}

/// As clients of another origin may write it.
#[test]
fn an_end_counts_by_its_class_whatever_its_state_holds() {
    let broker = Broker::start();
    for (class, state, code) in [("Error", "{}", 1), ("Error", r#"{"reason":["no","data"]}"#, 1), ("Abort", r#"{"started":5}"#, 2)] {
        broker.ok(&["close", "job", &object(class, state)]);
        for command in ["wait", "listen"] {
            assert_eq!(broker.output(&[command, "job"]).status.code(), Some(code), "{command} {class} {state}");
        }
        broker.ok(&["delete", "job"]);
    }
    broker.ok(&["close", "job", &object("Error", "{}")]);
    let (_, shown) = Terminal::new(&broker, &["listen", "job"]).end();
    assert!(
        shown.contains("job ended ")
            && shown.lines().any(|line| is_late(line) && line.ends_with("failed (use --next to wait for its next run)")),
        "{shown}"
    );
}

#[test]
fn who_waits_for_nothing_is_told_in_a_pipe_as_well() {
    let broker = Broker::start();
    for command in ["listen", "wait"] {
        let output = broker.output(&[command, "nobody", "--timeout", "1s"]);
        assert_fails(&output, 124, "msgstream: waiting for \"nobody\", which has not begun\n");
        assert_fails(&output, 124, "msgstream: \"nobody\" (not begun) has not ended after 1s\n");
    }
}

#[test]
fn a_broker_that_is_away_is_told_in_a_pipe_as_well() {
    let mut broker = Broker::start();
    broker.stop();
    for command in ["listen", "wait"] {
        let late = broker.output(&[command, "job", "--reconnect", "--timeout", "100ms"]);
        assert_fails(&late, 124, "\"job\" (the broker has not answered) has not ended after 100ms");
        let mut said = Said::start(&broker, &[command, "job", "--reconnect"]);
        assert!(said.line().contains(&format!("the broker at {} is away: ", broker.address)), "{command}");
        broker.start_again();
        broker.ok(&["close", "job", &object("Abort", "{}")]);
        assert_eq!(said.end().0, Some(2), "{command}");
        broker.stop();
    }
}

#[test]
fn wait_waits_for_all_or_for_any() {
    let broker = Broker::start();
    broker.ok(&["close", "one", &object("Complete", &end("", 3600))]);
    let long = format!(r#"{{"title":"{}"}}"#, "so long ".repeat(20));
    broker.ok(&["close", "long", &object("Complete", &long)]);
    let printed = broker.ok(&["wait", "long"]);
    assert!(
        printed.len() < 150 && printed.contains("… ended ") && is_late(&printed) && printed.contains(": done"),
        "a title is not all of a line: {printed}"
    );
    let mut all = Said::start(&broker, &["wait", "one", "other"]);
    assert_eq!(all.line(), "msgstream: waiting for \"other\", which has not begun");
    let any = broker.output(&["wait", "other", "one", "--any"]);
    assert_eq!(text(&any.stdout), "one make all ended 1 h ago: done in 4 s (use --next to wait for its next run)\n");
    assert_eq!(any.status.code(), Some(0));

    broker.ok(&["close", "other", &object("Error", &end(r#""reason":"no data","#, 0))]);
    let (code, printed, said) = all.end();
    assert_eq!((code, said.as_str()), (Some(1), "msgstream: other make all: failed after 4 s: no data\n"));
    assert!(printed.starts_with("one make all ended 1 h ago: "), "{printed}");
}

#[test]
fn a_run_that_has_ended_already_is_passed_over() {
    let broker = Broker::start();
    for command in ["wait", "listen"] {
        // The next run is seen from its beginning, or it is over before it could be joined.
        for is_seen in [true, false] {
            broker.ok(&["close", "job", &object("Complete", &end("", 3600))]);
            let mut said = Said::start(&broker, &[command, "job", "--next"]);
            assert_eq!(said.line(), "msgstream: \"job\" ended 1 h ago: done in 4 s; waiting for its next run");
            if is_seen {
                broker.ok(&["header", "job", &object("Start", r#"{"title":"make all"}"#)]);
                broker.until_joined("job");
            }
            broker.ok(&["close", "job", &object("Error", &end(r#""reason":"no data","#, 0))]);
            let (code, _, rest) = said.end();
            assert_eq!(code, Some(1), "{command} {is_seen}: {rest}");
            broker.ok(&["delete", "job"]);
        }
    }
}

#[test]
fn a_next_run_that_does_not_come_in_time_is_named_so() {
    let broker = Broker::start();
    broker.ok(&["close", "job", &object("Complete", "{}")]);
    for command in ["wait", "listen"] {
        let late = broker.output(&[command, "job", "--next", "--timeout", "1s"]);
        assert_fails(&late, 124, "msgstream: \"job\" (its next run has not begun) has not ended after 1s\n");
    }
}

/// The run has said how it ended, and its stream ends later; another time the stream never ended at all.
#[test]
fn an_end_that_stands_in_the_header_is_passed_over_as_well() {
    let broker = Broker::start();
    for closes in [true, false] {
        broker.ok(&["header", "job", &object("Complete", &end("", 3600))]);
        let mut said = Said::start(&broker, &["wait", "job", "--next"]);
        assert_eq!(said.line(), "msgstream: \"job\" ended 1 h ago: done in 4 s; waiting for its next run");
        if closes {
            broker.ok(&["close", "job"]);
            broker.ok(&["header", "job", &object("Start", "{}")]);
            broker.until_taken("job", &object("Abort", "{}"));
        } else {
            broker.ok(&["put", "job", &object("Start", "{}")]);
            broker.ok(&["put", "job", &object("Abort", "{}")]);
        }
        assert_eq!(said.end().0, Some(2), "{closes}");
        broker.ok(&["delete", "job"]);
    }
}

/// As `run` and Python jobs end: with the header, a message and the close. Seen to fail: its end was told once by each.
#[test]
fn the_end_of_the_next_run_is_told_once() {
    let broker = Broker::start();
    broker.ok(&["close", "job", &object("Complete", &end("", 3600))]);
    let mut said = Said::start(&broker, &["wait", "job", "--next"]);
    assert_eq!(said.line(), "msgstream: \"job\" ended 1 h ago: done in 4 s; waiting for its next run");
    let last = object("Complete", &end("", 0));
    broker.ok(&["put", "job", &last, "--header", &last]);
    broker.ok(&["close", "job"]);
    assert_eq!(said.end(), (Some(0), "job make all: done in 4 s\n".to_owned(), String::new()));
    broker.ok(&["delete", "job"]);
}

/// A run that is on is the one that is waited for.
#[test]
fn a_run_that_is_on_is_not_passed_over() {
    let broker = Broker::start();
    broker.ok(&["header", "job", &object("Start", "{}")]);
    let waiting = Said::start(&broker, &["wait", "job", "--next", "--timeout", "10s"]);
    // Nothing else comes before it that would show that the run is on.
    broker.until_taken("job", &object("Error", r#"{"reason":"no data"}"#));
    assert_eq!(waiting.end().0, Some(1));
}

#[test]
fn a_terminal_says_which_run_it_was() {
    let broker = Broker::start();
    broker.ok(&["close", "job", &object("Complete", &end("", 3600))]);
    let (code, shown) = Terminal::new(&broker, &["listen", "job"]).end();
    assert_eq!(code, Some(0));
    assert!(shown.contains("job make all ended 1 h ago: done in 4 s (use --next to wait for its next run)"), "{shown}");

    let terminal = Terminal::new(&broker, &["listen", "job", "--next"]);
    terminal.until_shown("job ended 1 h ago: done in 4 s; waiting for its next run");
    broker.ok(&["header", "job", r#"{"k":1,"total":4}"#]);
    terminal.until_shown("1/4");
    broker.ok(&["close", "job", &object("Abort", "{}")]);
    assert_eq!(terminal.end().0, Some(2));
}

/// A worker's last word may come behind the end of its job, which stays as it was told.
#[test]
fn what_comes_late_changes_no_end() {
    let broker = Broker::start();
    broker.ok(&["header", "job", &object("Join", r#"{"k":1,"total":4}"#)]);
    let terminal = Terminal::new(&broker, &["listen", "job"]);
    terminal.until_shown("1/4");
    for (class, state) in
        [("Error", r#"{"reason":"no data"}"#), ("Progress", r#"{"k":2}"#), ("Complete", "{}"), ("Log", r#"{"text":"a last word"}"#)]
    {
        broker.ok(&["put", "job", &object(class, state)]);
    }
    broker.ok(&["close", "job"]);
    let (code, shown) = terminal.end();
    let lines: Vec<&str> = shown.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!((code, lines), (Some(1), vec!["job: failed: no data", "a last word"]));

    // A run that begins anew is another.
    broker.ok(&["header", "job", &object("Join", "{}")]);
    let listening = Terminal::new(&broker, &["listen", "job"]);
    broker.until_joined("job");
    for (class, state) in [("Error", r#"{"reason":"no data"}"#), ("Start", "{}"), ("Complete", "{}")] {
        broker.ok(&["put", "job", &object(class, state)]);
    }
    broker.ok(&["close", "job"]);
    let (code, shown) = listening.end();
    assert!(code == Some(0) && shown.contains("job: failed: no data") && shown.contains("job: done"), "{code:?} {shown}");
}

/// How long a run took is not known if nobody saw its end; when it ended may be, if only its header tells.
#[test]
fn an_end_that_nobody_saw_is_not_told_as_news() {
    let broker = Broker::start();
    broker.ok(&["header", "silent", &object("Start", &format!(r#"{{"title":"make all","started":"{}"}}"#, ago(3600)))]);
    broker.ok(&["close", "silent"]);
    broker.ok(&["header", "left", &object("Complete", &end("", 3600))]);
    let (_, shown) = Terminal::new(&broker, &["listen", "silent"]).end();
    for shown in [shown.to_string(), broker.ok(&["wait", "silent"])] {
        assert!(shown.contains("silent make all ended ") && is_late(&shown), "{shown}");
        assert!(!shown.contains("done") && shown.contains(" (use --next to wait for its next run)"), "{shown}");
    }

    let told = "left make all ended 1 h ago: done in 4 s (use --next to wait for its next run)";
    assert_eq!(broker.ok(&["wait", "left"]), format!("{told}\n"));
    let terminal = Terminal::new(&broker, &["listen", "left"]);
    terminal.until_shown(told);
}

/// How a job ended is told in its own words, which reach a terminal as text and no more.
#[test]
fn an_end_does_not_control_the_terminal() {
    let broker = Broker::start();
    broker.ok(&["close", "job", &object("Error", r#"{"reason":"\u001b]0;title\u0007no\u001b[2J data"}"#)]);
    for command in ["wait", "listen"] {
        let mut said = Said::start(&broker, &[command, "job", "--next"]);
        let line = said.line();
        assert!(line.contains("no␛[2J data") && !line.contains(char::is_control), "{command}: {line:?}");
        said.child.kill().unwrap();
        said.end();
    }
}
