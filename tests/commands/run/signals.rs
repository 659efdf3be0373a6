//! Signals on their way to a command.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::{last, pid, value};
use crate::{Broker, assert_fails};

/// A program that answers each SIGUSR1, and after the tenth says how often it got SIGINT.
const COUNTING: &str = "
import os, signal
interrupts = ticks = 0
def interrupted(*_):
    global interrupts
    interrupts += 1
    print('interrupted', flush=True)
def tick(*_):
    global ticks
    ticks += 1
    if ticks == 10:
        print('in all', interrupts, flush=True)
        raise SystemExit(0)
    print('tick', flush=True)
signal.signal(signal.SIGINT, interrupted)
signal.signal(signal.SIGUSR1, tick)
print(os.getpgrp(), flush=True)
while True:
    signal.pause()
";

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
        kill_process(pid(&child), signal).unwrap();
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        assert_eq!((child.wait().unwrap().code(), rest), (Some(7), format!("got {name}\n")));
    }
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
        kill_process(pid(&child), signal).unwrap();
    }
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!((child.wait().unwrap().code(), &*rest), (Some(0), "alive\n"));
}

/// A reader that does not read holds up the output, and nothing else.
#[test]
fn signals_reach_a_command_whose_output_nobody_reads() {
    let broker = Broker::start();
    // More than our pipe and the command's hold together.
    let script =
        "trap 'echo got it >&2; exit 7' TERM; (trap '' TERM; yes | head -c 1000000) & echo ready >&2; while :; do sleep 0.01; done";
    let mut child =
        broker.command(&["run", "job", "--", "sh", "-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    full(child.stdout.as_ref().unwrap());
    kill_process(pid(&child), Signal::TERM).unwrap();
    // The shell may tell that the sleep was terminated, too.
    assert!(said.lines().any(|line| line.unwrap() == "got it"));
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

/// Runs the program, interrupts it, and gets its lines from there. Each answer is awaited, so that nothing is on its way at the end.
fn interrupts(interrupt: impl Fn(Pid)) -> Vec<String> {
    let broker = Broker::start();
    let mut child =
        broker.command(&["run", "job", "--", "python3", "-c", COUNTING]).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    // What is sent to the group of `run` does not reach the command by itself. That it would get it twice is not always to be seen.
    assert_ne!(lines.next().and_then(|group| group.parse().ok()), Some(child.id()));
    interrupt(pid(&child));
    let mut told = vec![lines.next().unwrap()];
    for _ in 0..10 {
        kill_process(pid(&child), Signal::USR1).unwrap();
        for line in lines.by_ref() {
            let is_answer = line != "interrupted";
            told.push(line);
            if is_answer {
                break;
            }
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    told.retain(|line| line != "tick");
    told
}

/// As CI and cron do it.
#[test]
fn an_interrupt_of_the_whole_group_reaches_the_command_once() {
    assert_eq!(interrupts(|id| kill_process_group(id, Signal::INT).unwrap()), ["interrupted", "in all 1"]);
}

/// timeout(1) signals its child, and then the group that the child is in.
#[test]
fn two_signals_that_are_one_reach_the_command_once() {
    let both = |id| {
        kill_process(id, Signal::INT).unwrap();
        kill_process_group(id, Signal::INT).unwrap();
    };
    assert_eq!(interrupts(both), ["interrupted", "in all 1"]);
}

#[test]
fn a_command_that_is_asked_to_end_is_aborted() {
    let broker = Broker::start();
    let table = [
        (Signal::INT, "interrupted", "echo ready; exec sleep 600", r#""signal":2"#),
        (Signal::TERM, "SIGTERM", "echo ready; exec sleep 600", r#""signal":15"#),
        (Signal::HUP, "SIGHUP", "echo ready; exec sleep 600", r#""signal":1"#),
        (Signal::QUIT, "SIGQUIT", "ulimit -c 0; echo ready; exec sleep 600", r#""signal":3"#),
        (Signal::INT, "interrupted", "trap 'exit 5' INT; echo ready; while :; do sleep 0.01; done", r#""exit":5"#),
    ];
    for (signal, reason, script, more) in table {
        let mut child = broker.command(&["run", "job", "--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        kill_process(pid(&child), signal).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(last(&broker), value("Abort", &format!(r#"{{"reason":"{reason}",{more}}}"#)));
        assert_fails(&broker.output(&["wait", "job"]), 2, reason);
        // A shell ends its script only if we end of the interrupt.
        let died = signal == Signal::INT && more.contains("signal");
        assert_eq!(status.signal(), died.then_some(2), "{signal:?}");
    }
}

/// With the first message the broker knows how the job ends if it is lost; with the header alone it may not.
fn until_started(broker: &Broker, job: &str) {
    let mut listen = broker.command(&["listen", job, "--last", "9"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(listen.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("monitor.Start")));
    listen.kill().unwrap();
    listen.wait().unwrap();
}

/// A job whose own program is killed cannot say how it ended. The broker says that it is lost, and what waits for it exits with a code of
/// its own.
#[test]
fn a_run_that_is_killed_is_lost() {
    let broker = Broker::impatient("200ms");
    let waiting = broker.command(&["wait", "job"]).stderr(Stdio::piped()).spawn().unwrap();
    broker.until_joined("job");
    let mut run = broker.command(&["run", "job", "--title", "a job", "--", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    until_started(&broker, "job");
    run.kill().unwrap();
    run.wait().unwrap();
    assert_fails(&waiting.wait_with_output().unwrap(), 3, "job a job: lost");
    assert_eq!(broker.output(&["listen", "job"]).status.code(), Some(3));
}

/// A job that is started again under its name is not ended by the death of the one before.
#[test]
fn a_run_that_follows_one_that_was_killed_ends_as_it_does() {
    let broker = Broker::impatient("200ms");
    let mut killed = broker.command(&["run", "job", "--", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    until_started(&broker, "job");
    killed.kill().unwrap();
    killed.wait().unwrap();
    let mut other = broker.command(&["run", "other", "--", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    until_started(&broker, "other");
    let mut run = broker.command(&["run", "job", "--", "cat"]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    while !broker.ok(&["get", "job"]).contains(&format!("\"pid\":{}", run.id())) {}
    // What is lost after it is known to be so before the one that was lost first is forgotten.
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(broker.output(&["wait", "other"]).status.code(), Some(3));
    drop(run.stdin.take());
    assert_eq!(run.wait().unwrap().code(), Some(0));
    assert_eq!(last(&broker), value("Complete", r#"{"result":{"exit":0}}"#));
}
