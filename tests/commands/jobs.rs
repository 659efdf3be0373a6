//! run and wait, with their exit codes and signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::{Broker, assert_fails, object, program, text};

fn put(message: &str) -> String {
    format!("{{\"action\":\"put\",\"stream\":\"job\",\"message\":{message}}}\n")
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
    let lines: Vec<_> = lines.lines().map(|line| format!("{line}\n")).collect();
    let complete = object("Complete", r#"{"result":{"exit":0}}"#);
    assert_eq!(lines[0], put(&object("Start", r#"{"title":"a job"}"#)));
    for log in [r#"{"text":"one","level":"info"}"#, r#"{"text":"two","level":"warning"}"#, r#"{"text":"no end","level":"info"}"#] {
        assert!(lines[1..4].contains(&put(&object("Log", log))), "{lines:?}");
    }
    assert_eq!(lines[4..], [put(&complete), "{\"action\":\"close\",\"stream\":\"job\"}\n".to_owned()]);
    assert_eq!(broker.ok(&["get", "job"]), format!("{complete}\n"), "whoever comes later learns how it ended");
    broker.ok(&["wait", "job"]);
}

#[test]
fn every_line_of_a_command_is_published() {
    let broker = Broker::start();
    let listening = broker.listen(&["job"]);
    let output = broker.output(&["run", "job", "--", "seq", "50000"]);
    assert_eq!(output.status.code(), Some(0));
    let expected: String = (1..=50_000).map(|number| format!("{number}\n")).collect();
    assert!(text(&output.stdout) == expected);
    let (_, lines, _) = listening.end();
    let texts: String =
        lines.lines().filter_map(|line| Some(format!("{}\n", line.split_once(r#"{"text":""#)?.1.split_once('"')?.0))).collect();
    assert!(texts == expected, "{} lines", texts.lines().count());
}

#[test]
fn the_exit_status_is_the_commands() {
    let broker = Broker::start();
    assert_eq!(broker.output(&["run", "job", "--", "sh", "-c", "exit 3"]).status.code(), Some(3));
    assert_eq!(broker.ok(&["get", "job"]), object("Error", r#"{"reason":"exit status 3","exit":3}"#) + "\n");
    assert_fails(&broker.output(&["wait", "job"]), 1, ": exit status 3");
    assert_eq!(broker.output(&["run", "job", "--", "sh", "-c", "kill -9 $$"]).status.code(), Some(137));
    assert_eq!(broker.ok(&["get", "job"]), object("Error", r#"{"reason":"ended by signal 9","signal":9}"#) + "\n");
    assert_fails(&broker.output(&["run", "job", "--", "/nonesuch"]), 127, "cannot run \"/nonesuch\"");
    assert_fails(&broker.output(&["wait", "job"]), 1, "cannot run");
    assert_fails(&broker.output(&["run", "job", "--", "/"]), 126, "cannot run \"/\"");
    assert_fails(&broker.output(&["run", "job"]), 64, "<COMMAND>");
}

#[test]
fn signals_reach_the_command() {
    let broker = Broker::start();
    for (signal, name) in [(Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::HUP, "HUP"), (Signal::USR1, "USR1")] {
        let script = format!("trap 'echo got {name}; exit 7' {name}; echo ready; while :; do sleep 0.01; done");
        let arguments = ["run", "job", "--", "sh", "-c", &script];
        let mut child = broker.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        assert_eq!((child.wait().unwrap().code(), rest), (Some(7), format!("got {name}\n")));
    }
}

#[test]
fn a_command_runs_without_a_broker() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = program(&["run", "job", "--server", &nobody, "--", "sh", "-c", "echo one; exit 4"]).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(4), "one\n"));
    assert!(text(&output.stderr).contains("may not know how the job ended"), "{}", text(&output.stderr));
}

#[test]
fn wait_tells_by_its_exit_code_how_the_job_ended() {
    let mut broker = Broker::start();
    for (class, state, code) in [("Complete", "{}", 0), ("Error", r#"{"reason":"no data"}"#, 1), ("Abort", r#"{"reason":"asked"}"#, 2)] {
        // In the header, which is how it stands for who comes late; and as the last message.
        broker.ok(&["header", "job", &object(class, state)]);
        assert_eq!(broker.output(&["wait", "job"]).status.code(), Some(code), "{class}");
        broker.ok(&["delete", "job"]);
        broker.ok(&["close", "job", &object(class, state)]);
        assert_eq!(broker.output(&["wait", "job"]).status.code(), Some(code), "{class}");
        broker.ok(&["delete", "job"]);
    }
    broker.ok(&["close", "job"]);
    broker.ok(&["wait", "job"]);
    let late = broker.output(&["wait", "other", "--timeout", "1ms"]);
    assert_fails(&late, 124, "msgstream: \"other\" (");
    assert_fails(&late, 124, ") has not ended after 1ms");

    // While it waits: a message in between is none of its business.
    let waiting = broker.command(&["wait", "other"]).stderr(Stdio::piped()).spawn().unwrap();
    broker.until_joined("other");
    broker.ok(&["put", "other", &object("Progress", r#"{"k":1}"#)]);
    broker.ok(&["put", "other", &object("Abort", "{}")]);
    assert_fails(&waiting.wait_with_output().unwrap(), 2, "other: aborted");

    let waiting = broker.command(&["wait", "other"]).stderr(Stdio::piped()).spawn().unwrap();
    broker.until_joined("other");
    broker.child.kill().unwrap();
    assert_fails(&waiting.wait_with_output().unwrap(), 69, "the connection to the broker was lost");
}

/// As under nohup, or in the background of a shell that has no job control: what is ignored stays so, for the command as well.
#[test]
fn a_signal_that_is_ignored_does_not_reach_the_command() {
    let broker = Broker::start();
    let script = "grep SigIgn /proc/self/status; read go; echo alive";
    let mut child = std::process::Command::new("sh")
        .args(["-c", "trap '' HUP INT; exec \"$0\" run job -- sh -c \"$1\"", env!("CARGO_BIN_EXE_msgstream"), script])
        .env("MSGSTREAM_SERVER", &broker.address)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let ignored = u64::from_str_radix(line.trim().rsplit('\t').next().unwrap(), 16).unwrap();
    assert_eq!(ignored & 0b11, 0b11, "the command ignores SIGHUP and SIGINT: {line}");
    for signal in [Signal::HUP, Signal::INT] {
        kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
    }
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!((child.wait().unwrap().code(), &*rest), (Some(0), "alive\n"));
}

#[test]
fn a_reader_of_standard_error_that_has_gone_does_not_change_the_exit_status() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut child = program(&["run", "job", "--server", &nobody, "--", "sh", "-c", "exit 4"]).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(4));
}

/// A reader that does not read holds up the output, and nothing else.
#[test]
fn signals_reach_a_command_whose_output_nobody_reads() {
    let broker = Broker::start();
    // More than our pipe and the command's hold together.
    let script = "trap 'echo got it >&2; exit 7' TERM; (yes | head -c 1000000) & echo ready >&2; while :; do sleep 0.01; done";
    let mut child =
        broker.command(&["run", "job", "--", "sh", "-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    full(child.stdout.as_ref().unwrap());
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
    line.clear();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "got it\n");
    let mut rest = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert!(rest.len() > 64 << 10, "what the command wrote is there: {} bytes", rest.len());
}

/// Waits until a pipe holds as much as Linux lets it.
fn full(pipe: &std::process::ChildStdout) {
    while rustix::io::ioctl_fionread(pipe).unwrap() < 64 << 10 {
        std::thread::yield_now();
    }
}

#[test]
fn characters_of_a_long_line_are_not_cut() {
    let broker = Broker::start();
    let listening = broker.listen(&["job"]);
    // At 64 KiB, where lines are cut, there is a character.
    let line = format!("xy{}", "é日".repeat(30_000));
    let output = broker.with_input(&["run", "job", "--", "cat"], &[line.as_bytes(), b"\xff end"].concat());
    assert_eq!(output.status.code(), Some(0));
    let (_, lines, _) = listening.end();
    let text: String = lines.lines().filter_map(|line| Some(line.split_once(r#"{"text":""#)?.1.split_once('"')?.0)).collect();
    assert!(text == format!("{line}\u{fffd} end"), "{} bytes of {}", text.len(), line.len());
}

#[test]
fn what_a_command_leaves_behind_does_not_hold_up_the_end() {
    let broker = Broker::start();
    // The other process holds the pipes until its input, ours, ends.
    let mut child = broker
        .command(&["run", "job", "--", "sh", "-c", "exec 3<&0; cat <&3 >&1 & echo one; exit 3"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    drop(child.stdin.take());
    assert_fails(&broker.output(&["wait", "job"]), 1, "exit status 3");
}
