//! run: a command as a job, as others see it, and its exit codes.
//!
//! - `text`: what is heard of what a command writes.
//! - `signals`: each reaches the command once.
//! - `terminal`: a terminal of the command's own, or a shared one.

mod signals;
mod terminal;
mod text;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use rustix::process::{Pid, test_kill_process};
use serde_json::Value;

use crate::{Broker, assert_fails, object, program, text};

/// What a listener gets, without what every end tells (see [`whole_end`]).
fn message(line: &str) -> Value {
    let mut event: Value = serde_json::from_str(line).unwrap();
    let mut message = event["message"].take();
    if ["Complete", "Abort", "Error"].iter().any(|class| message[".class"] == format!("monitor.{class}")) {
        whole_end(&mut message);
    }
    message
}

/// Checks that an end tells which job it was and its time, and takes that away.
fn whole_end(message: &mut Value) {
    let state = message[".state"].as_object_mut().unwrap();
    let [title, started, ended] = ["title", "started", "ended"].map(|name| state.remove(name).unwrap().as_str().unwrap().to_owned());
    assert!(!title.is_empty() && started <= ended, "{state:?}");
    assert!(started.starts_with("20") && started.ends_with("+00:00"), "{started}");
}

/// The header of a job that has ended.
fn last(broker: &Broker) -> Value {
    let mut message = serde_json::from_str(&broker.ok(&["get", "job"])).unwrap();
    whole_end(&mut message);
    message
}

fn value(class: &str, state: &str) -> Value {
    serde_json::from_str(&object(class, state)).unwrap()
}

#[test]
fn a_command_runs_as_a_job_that_others_can_watch() {
    let broker = Broker::start();
    let listening = broker.listen(&["job"]);
    // The two pipes are read side by side: each line waits until the other was seen.
    let script = "echo one; echo two >&2; printf 'no end'";
    let output = broker.output(&["run", "job", "--title", "a job", "--", "sh", "-c", script]);
    assert_eq!((output.status.code(), text(&output.stdout), text(&output.stderr)), (Some(0), "one\nno end", "two\n"));

    let (code, lines, _) = listening.end();
    assert_eq!(code, Some(0));
    let lines: Vec<_> = lines.lines().collect();
    let mut start = message(lines[0]);
    assert!(start[".state"].as_object_mut().unwrap().remove("started").unwrap().is_string());
    assert_eq!(start, value("Start", r#"{"title":"a job"}"#));
    let between: Vec<_> = lines[1..4].iter().map(|line| message(line)).collect();
    for log in [r#"{"text":"one","level":"info"}"#, r#"{"text":"two","level":"warning"}"#, r#"{"text":"no end","level":"info"}"#] {
        assert!(between.contains(&value("Log", log)), "{lines:?}");
    }
    let complete = value("Complete", r#"{"result":{"exit":0}}"#);
    assert_eq!((message(lines[4]), lines[5]), (complete.clone(), "{\"action\":\"close\",\"stream\":\"job\"}"));
    assert_eq!(last(&broker), complete, "whoever comes later learns how it ended");
    broker.ok(&["wait", "job"]);
}

#[test]
fn who_comes_while_the_command_runs_learns_its_title_since_when_and_how_far_it_is() {
    let broker = Broker::start();
    let arguments = ["run", "job", "--title", "a job", "--", "sh", "-c", r"echo begun; read go; printf '3/10\r'; read go"];
    let mut child = broker.command(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let state = header_when(&broker, |state| state["title"] == "a job");
    assert!(state["started"].is_string() && state["k"].is_null(), "{state}");
    child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    let state = header_when(&broker, |state| state["k"] == 3);
    assert!(state["started"].is_string() && state["title"] == "a job" && state["total"] == 10, "{state}");
    drop(child.stdin.take());
    child.wait().unwrap();
}

/// The state of the header, once it is so.
fn header_when(broker: &Broker, is_so: impl Fn(&Value) -> bool) -> Value {
    loop {
        let output = broker.output(&["get", "job"]);
        let header: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if header[".class"] == "monitor.Join" && is_so(&header[".state"]) {
            return header[".state"].clone();
        }
    }
}

#[test]
fn the_exit_status_is_the_commands() {
    let broker = Broker::start();
    assert_eq!(broker.output(&["run", "job", "--", "sh", "-c", "exit 3"]).status.code(), Some(3));
    assert_eq!(last(&broker), value("Error", r#"{"reason":"exit status 3","exit":3}"#));
    assert_fails(&broker.output(&["wait", "job"]), 1, ": exit status 3");
    // The code of an interrupt, though nobody has interrupted it.
    assert_eq!(broker.output(&["run", "job", "--", "sh", "-c", "exit 130"]).status.code(), Some(130));
    assert_eq!(broker.output(&["run", "job", "--", "sh", "-c", "kill -9 $$"]).status.code(), Some(137));
    assert_eq!(last(&broker), value("Error", r#"{"reason":"ended by SIGKILL","signal":9}"#));
    assert_fails(&broker.output(&["run", "job", "--", "/nonesuch"]), 127, "cannot run \"/nonesuch\"");
    assert_fails(&broker.output(&["wait", "job"]), 1, "cannot run");
    assert_fails(&broker.output(&["run", "job", "--", "/"]), 126, "cannot run \"/\"");
    assert_fails(&broker.output(&["run", "job"]), 64, "msgstream run job -- COMMAND");
    assert_fails(&broker.output(&["run", "job", "make", "-j8"]), 64, "after two dashes: msgstream run job -- make -j8");
}

/// It is told while the command runs, and costs nothing at the end.
#[test]
fn a_command_runs_without_a_broker() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (status, said) = told_while_it_runs("job", &nobody);
    assert_eq!(status, Some(4));
    assert!(said[0].contains(&format!("the broker at {nobody} cannot be reached: Connection refused")), "{said:?}");
    assert!(said[0].ends_with("; the job goes on, and up to 4MiB of its output is kept"), "{said:?}");
    assert!(said[1].contains("does not know how the job ended: it cannot be reached: "), "{said:?}");
    assert_eq!(said.len(), 2, "{said:?}");
}

/// The command ends while the broker starts again, which takes a moment.
#[test]
fn a_broker_that_is_back_in_time_hears_the_end() {
    let mut broker = Broker::start();
    let mut command = broker.command(&["run", "job", "--", "sh", "-c", "echo $$; read go; exit 3"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let command = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
    header_when(&broker, |state| state["pid"].is_number());
    broker.stop();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.next().unwrap().contains("cannot be reached"));
    drop(child.stdin.take());
    while test_kill_process(command).is_ok() {
        std::thread::yield_now();
    }
    broker.start_again();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert_eq!(said.collect::<Vec<_>>(), [""; 0]);
    assert_fails(&broker.output(&["wait", "job"]), 1, "exit status 3");
}

#[test]
fn a_command_runs_with_something_else_in_the_place_of_the_broker() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for client in other.incoming() {
            let _ = client.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let (status, said) = told_while_it_runs("job", &address);
    assert_eq!(status, Some(4));
    assert!(said[0].contains("is not a msgstream broker; it sent \"HTTP/1.1 400 Bad Request\""), "{said:?}");
}

/// A name that is the broker's own is refused when the job begins, and not first at its end.
#[test]
fn a_job_that_the_broker_refuses_is_told_while_it_runs() {
    let broker = Broker::start();
    let (status, said) = told_while_it_runs("$job", &broker.address);
    assert_eq!(status, Some(4));
    assert!(said[0].contains("the broker refuses this job: ") && said[0].ends_with("(denied); the command goes on"), "{said:?}");
    assert!(said[1].contains("does not know how the job ended: the broker refused: "), "{said:?}");
}

/// The broker lets it in no more, and takes nothing more of it. The command knows nothing of that.
#[test]
fn a_command_goes_on_when_the_broker_is_over_for_it() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("over-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let tokens = folder.join("tokens.toml");
    let token = |arguments: &[&str]| {
        let output = program(&["token"]).args(arguments).env("MSGSTREAM_AUTH__TOKENS", &tokens).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout).trim_end().to_owned()
    };
    let (job, other) = (token(&["new", "job", "--publish", "", "--listen", ""]), token(&["new", "other", "--listen", ""]));
    let mut serve = program(&["serve", "--listen", "127.0.0.1:0"]);
    serve.env("MSGSTREAM_AUTH__TOKENS", &tokens);
    let broker = Broker::serve(serve);
    // At once, without a token; and later, when the token is revoked.
    for shown in ["", &job] {
        let mut run = broker.command(&["run", "job", "--", "sh", "-c", "echo begun; read go; echo went on; exit 4"]);
        run.env("MSGSTREAM_TOKEN", shown).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = run.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert_eq!(output.next().unwrap(), "begun");
        if !shown.is_empty() {
            while !broker.command(&["get", "job"]).env("MSGSTREAM_TOKEN", &other).output().unwrap().status.success() {}
            token(&["revoke", "job"]);
        }
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let first = said.next().unwrap();
        assert!(first.starts_with(&format!("msgstream: nothing more goes to the broker at {}: ", broker.address)), "{first}");
        assert!(first.ends_with("; the command goes on"), "{first}");
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        assert_eq!(output.collect::<Vec<_>>(), ["went on"]);
        assert_eq!(child.wait().unwrap().code(), Some(4));
        let last: Vec<_> = said.collect();
        assert!(last.iter().any(|line| line.contains("does not know how the job ended: ")), "{last:?}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// Runs a command that ends once something was told of the broker: the exit code, and the lines of standard error.
fn told_while_it_runs(stream: &str, address: &str) -> (Option<i32>, Vec<String>) {
    let mut child = program(&["run", stream, "--server", address, "--", "sh", "-c", "read go; exit 4"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut said = vec![lines.next().unwrap()];
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    said.extend(lines);
    (child.wait().unwrap().code(), said)
}

#[test]
fn a_reader_of_standard_error_that_has_gone_does_not_change_the_exit_status() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut child = program(&["run", "job", "--server", &nobody, "--", "sh", "-c", "exit 4"]).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(4));
}

/// A file name need not be UTF-8.
#[test]
fn an_argument_is_passed_on_as_it_is() {
    let broker = Broker::start();
    let mut command = broker.command(&["run", "job", "--", "printf", "%s"]);
    let output = command.arg(std::ffi::OsStr::from_bytes(b"caf\xe9.txt")).output().unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"caf\xe9.txt"[..]));
    let header: Value = serde_json::from_str(&broker.ok(&["get", "job"])).unwrap();
    assert_eq!(header[".state"]["title"], "printf %s caf\u{fffd}.txt");
}

/// As of `rm *`. What goes with the header and the end is as long as a broker takes.
#[test]
fn a_command_of_many_arguments_is_told_like_any_other() {
    let broker = Broker::start();
    let quotes = vec!["\"".repeat(100_000); 16];
    let output = broker.command(&["run", "job", "--", "true"]).args(&quotes).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    assert_eq!(last(&broker), value("Complete", r#"{"result":{"exit":0}}"#));

    // It is begun although its title is longer than what waits for a broker.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = program(&["run", "job", "--server", &nobody, "--", "sh", "-c", "exit 4"]).args(&quotes).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
}

#[test]
fn a_second_run_of_a_name_is_refused_while_the_first_one_lives() {
    let broker = Broker::start();
    let mut command = broker.command(&["run", "job", "--", "cat"]);
    let mut first = command.stdin(Stdio::piped()).spawn().unwrap();
    header_when(&broker, |state| state["started"].is_string());
    let second = broker.output(&["run", "job", "--", "echo", "second"]);
    assert_fails(&second, 73, "\"job\" has been running since 20");
    assert_fails(&second, 73, &format!("as process {} on ", first.id()));
    assert_eq!(text(&second.stdout), "");
    assert_eq!(broker.output(&["run", "job", "--force", "--", "echo", "second"]).status.code(), Some(0));
    drop(first.stdin.take());
    first.wait().unwrap();
    assert_eq!(broker.output(&["run", "job", "--", "true"]).status.code(), Some(0), "it has ended");

    // One that could not say that it ended.
    let mut killed = command.stdin(Stdio::piped()).spawn().unwrap();
    header_when(&broker, |state| state["pid"] == killed.id());
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(broker.output(&["run", "job", "--", "true"]).status.code(), Some(0), "its process is gone");
}

/// Seen to fail when each looked whether there is another one, and then began.
#[test]
fn of_runs_of_one_name_that_begin_in_one_moment_only_one_does() {
    let broker = Broker::start();
    // The name is free at first, and then that of a run that has ended.
    for _ in 0..3 {
        let mut command = broker.command(&["run", "job", "--", "sh", "-c", "echo begun; read go"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut children: Vec<_> = (0..6).map(|_| command.spawn().unwrap()).collect();
        // Each says that it has begun, or ends.
        let begun: Vec<_> = children
            .iter_mut()
            .map(|child| {
                let mut line = String::new();
                BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
                line == "begun\n"
            })
            .collect();
        for (child, begun) in children.into_iter().zip(&begun) {
            let output = child.wait_with_output().unwrap();
            match begun {
                // Its input was closed.
                true => assert_eq!(output.status.code(), Some(1)),
                false => assert_fails(&output, 73, "\"job\" has been running since 20"),
            }
        }
        assert_eq!(begun.iter().filter(|begun| **begun).count(), 1);
    }
}

/// What another run says of itself is told as text, and controls no terminal.
#[test]
fn a_refused_run_shows_the_other_one_as_text() {
    let broker = Broker::start();
    broker.ok(&["header", "job", &object("Join", r#"{"pid":1,"host":"\u001b]0;title\u0007other","started":"\u001b[2J"}"#)]);
    let refused = broker.output(&["run", "job", "--", "true"]);
    assert_fails(&refused, 73, "\"job\" has been running since ␛[2J, as process 1 on ␛]0;title␇other: ");
    assert!(!text(&refused.stderr).trim_end().contains(char::is_control));
}

fn pid(child: &std::process::Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}
