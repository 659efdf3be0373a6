//! run: what others see of the command, its exit codes, and signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::screen::Terminal;
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

/// What the listeners of a shell command get of its output, each as its class and text.
fn heard(script: &str) -> Vec<(String, String)> {
    let broker = Broker::start();
    let listening = broker.listen(&["job"]);
    broker.output(&["run", "job", "--", "sh", "-c", script]);
    let (_, lines, _) = listening.end();
    let texts = lines.lines().map(message).filter(|message| message[".state"]["text"].is_string());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    texts.map(|message| (text(&message[".class"]).replace("monitor.", ""), text(&message[".state"]["text"]))).collect()
}

fn logs(heard: &[(String, String)]) -> Vec<&str> {
    heard.iter().filter(|(class, _)| class == "Log").map(|(_, text)| text.as_str()).collect()
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

/// Into one pipe, as with `2>&1 | tee log`.
#[test]
fn outputs_that_go_to_one_place_keep_their_order() {
    let broker = Broker::start();
    let listening = broker.listen(&["job"]);
    let script = "i=0; while [ $i -lt 200 ]; do echo $i; echo $((i+1)) >&2; i=$((i+2)); done";
    let (mut read, write) = std::io::pipe().unwrap();
    let mut command = broker.command(&["run", "job", "--", "sh", "-c", script]);
    let mut child = command.stdout(write.try_clone().unwrap()).stderr(write).spawn().unwrap();
    drop(command);
    let mut shown = String::new();
    read.read_to_string(&mut shown).unwrap();
    child.wait().unwrap();
    let (_, lines, _) = listening.end();
    let numbers: Vec<_> = (0..200).map(|number| number.to_string()).collect();
    assert_eq!(shown.lines().collect::<Vec<_>>(), numbers);
    let texts = lines.lines().map(message).filter_map(|message| message[".state"]["text"].as_str().map(str::to_owned));
    assert_eq!(texts.collect::<Vec<_>>(), numbers);
}

#[test]
fn a_line_end_of_two_bytes_is_one() {
    assert_eq!(logs(&heard(r"printf 'a\r\nb\r\n\r\nc\r'; printf '\nd'")), ["a", "b", "", "c", "d"]);
}

#[test]
fn colours_are_published_and_other_escape_sequences_are_not() {
    let heard = heard(r"printf '\033[1;31mred\033[0m \033]0;a title\007\033[?25lline\007\n'");
    assert_eq!(logs(&heard), ["\u{1b}[1;31mred\u{1b}[0m line"]);
}

#[test]
fn a_progress_bar_is_progress_and_not_many_lines() {
    let heard = heard(r#"echo begin; i=0; while [ $i -le 3000 ]; do printf '\r %d/3000 steps' $i; i=$((i+1)); done; echo; echo end"#);
    assert_eq!(logs(&heard), ["begin", "end"]);
    let progress: Vec<_> = heard.iter().filter(|(class, _)| class == "Progress").collect();
    assert!(progress.len() < 1000, "{} drawings", progress.len());
    assert_eq!(heard[heard.len() - 2], ("Progress".to_owned(), "3000/3000 steps".to_owned()), "the last is never left out");
}

/// As dpkg does it, so fast that only the first drawing has its time.
#[test]
fn the_last_drawing_of_a_bar_is_heard_before_what_takes_its_place() {
    let heard = heard(r"printf 'reading 5%%\rreading 50%%\rreading 100%%\rread 1234 files\n'");
    let text = |class: &str, text: &str| (class.to_owned(), text.to_owned());
    let expected = [text("Progress", "reading 5%"), text("Progress", "reading 100%"), text("Log", "read 1234 files")];
    assert_eq!(heard, expected);
}

#[test]
fn a_spinner_is_a_few_lines() {
    let heard = heard(r#"i=0; while [ $i -le 3000 ]; do printf '\r- waiting %d' $i; i=$((i+1)); done; printf '\rready\n'"#);
    let logs = logs(&heard);
    assert!(logs.len() < 1000, "{} drawings", logs.len());
    assert_eq!(logs.last(), Some(&"ready"));
}

/// Each part is heard while the command waits for its input, which it gets once it was.
#[test]
fn what_is_unfinished_is_told_after_a_moment_of_silence() {
    let broker = Broker::start();
    let mut listening = broker.listen(&["job"]);
    let script = r#"printf 'Compiling... '; read go; echo done; printf '\r40%%'; read go; printf '\r50%%\n'"#;
    let mut child = broker.command(&["run", "job", "--", "sh", "-c", script]).stdin(Stdio::piped()).spawn().unwrap();
    let mut next = || message(&listening.line())[".state"].clone();
    next();
    assert_eq!(next()["text"], "Compiling... ");
    child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    assert_eq!(next()["text"], "done", "the rest, and no more");
    assert_eq!(next()["k"], 40);
    child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    assert_eq!(next()["k"], 50);
    child.wait().unwrap();
}

#[test]
fn what_was_left_out_is_told_in_its_place_and_at_the_end() {
    let broker = Broker::start();
    let mut listening = broker.listen(&["job"]);
    let script = "exec 2>/dev/null; trap 'exit 0' TERM; yes $(printf %01000d 7) | head -n 12000; while :; do echo after; sleep 0.01; done";
    let mut command = broker.command(&["run", "job", "--", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    kill_process(pid(&broker.child), Signal::STOP).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.by_ref().take(12_000).count(), 12_000);
    let rest = std::thread::spawn(move || lines.map(Result::unwrap).filter(|line| line == "after").count());
    kill_process(pid(&broker.child), Signal::CONT).unwrap();

    let mut heard = Vec::new();
    while heard.last().is_none_or(|text| text != "after") {
        heard.extend(message(&listening.line())[".state"]["text"].as_str().map(str::to_owned));
    }
    assert!(heard[heard.len() - 2].ends_with("lines were left out here: the broker did not take them in time"), "in its place");
    kill_process(pid(&child), Signal::TERM).unwrap();
    let said = child.wait_with_output().unwrap().stderr;
    let last = last(&broker);
    let left_out = last[".state"]["left_out"].as_u64().unwrap();
    assert!(text(&said).contains(&format!("{left_out} lines of output were not published")), "{}", text(&said));

    let (_, lines, _) = listening.end();
    heard.extend(lines.lines().filter_map(|line| message(line)[".state"]["text"].as_str().map(str::to_owned)));
    let counts = |text: &String| text.split_once(" line")?.0.parse::<u64>().ok();
    let gaps: Vec<_> = heard.iter().filter_map(counts).collect();
    assert_eq!(gaps.iter().sum::<u64>(), left_out);
    assert_eq!(heard.len() - gaps.len() + usize::try_from(left_out).unwrap(), 12_000 + rest.join().unwrap());
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
    assert_eq!(last(&broker), value("Error", r#"{"reason":"exit status 3","exit":3}"#));
    assert_fails(&broker.output(&["wait", "job"]), 1, ": exit status 3");
    assert_eq!(broker.output(&["run", "job", "--", "sh", "-c", "kill -9 $$"]).status.code(), Some(137));
    assert_eq!(last(&broker), value("Error", r#"{"reason":"ended by SIGKILL","signal":9}"#));
    assert_fails(&broker.output(&["run", "job", "--", "/nonesuch"]), 127, "cannot run \"/nonesuch\"");
    assert_fails(&broker.output(&["wait", "job"]), 1, "cannot run");
    assert_fails(&broker.output(&["run", "job", "--", "/"]), 126, "cannot run \"/\"");
    assert_fails(&broker.output(&["run", "job"]), 64, "msgstream run job -- COMMAND");
    assert_fails(&broker.output(&["run", "job", "make", "-j8"]), 64, "after two dashes: msgstream run job -- make -j8");
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
        kill_process(pid(&child), signal).unwrap();
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        assert_eq!((child.wait().unwrap().code(), rest), (Some(7), format!("got {name}\n")));
    }
}

/// It is told while the command runs, and costs nothing at the end.
#[test]
fn a_command_runs_without_a_broker() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (status, said) = told_while_it_runs(&nobody);
    assert_eq!(status, Some(4));
    assert!(said[0].contains(&format!("the broker at {nobody} cannot be reached: Connection refused")), "{said:?}");
    assert!(said[0].ends_with("; the job goes on, and what it says is kept up to 4MiB"), "{said:?}");
    assert!(said[1].contains("does not know how the job ended: it cannot be reached: "), "{said:?}");
    assert_eq!(said.len(), 2, "{said:?}");
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
    let (status, said) = told_while_it_runs(&address);
    assert_eq!(status, Some(4));
    assert!(said[0].contains("does not speak like a broker: \"HTTP/1.1 400 Bad Request\""), "{said:?}");
}

/// Runs a command that ends once it was told that there is no broker: the exit code, and the lines of standard error.
fn told_while_it_runs(address: &str) -> (Option<i32>, Vec<String>) {
    let mut child = program(&["run", "job", "--server", address, "--", "sh", "-c", "read go; exit 4"])
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

/// A program that answers each SIGUSR1, and after the tenth says how often it got SIGINT.
const COUNTING: &str = "
import signal
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
print('ready', flush=True)
while True:
    signal.pause()
";

/// Runs the program, interrupts it, and gets its lines from there. Each answer is awaited, so that nothing is on its way at the end.
fn interrupts(interrupt: impl Fn(Pid)) -> Vec<String> {
    let broker = Broker::start();
    let mut child =
        broker.command(&["run", "job", "--", "python3", "-c", COUNTING]).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("ready"));
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

fn pid(child: &std::process::Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
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

#[test]
fn a_second_run_of_a_name_is_refused_while_the_first_one_lives() {
    let broker = Broker::start();
    let mut command = broker.command(&["run", "job", "--", "cat"]);
    let mut first = command.stdin(Stdio::piped()).spawn().unwrap();
    header_when(&broker, |state| state["started"].is_string());
    let second = broker.output(&["run", "job", "--", "echo", "second"]);
    assert_fails(&second, 73, "\"job\" is running since 20");
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

#[test]
fn a_command_gets_a_terminal_of_its_own() {
    let broker = Broker::start();
    let listening = broker.listen(&["job"]);
    let script = "test -t 0 && echo input; test -t 1 && echo one; test -t 2 && echo two >&2; stty size </dev/tty; exit 3";
    let output = broker.output(&["run", "job", "--tty", "--", "sh", "-c", script]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(3), "one\r\ntwo\r\n24 80\r\n"));
    let (_, lines, _) = listening.end();
    let texts = lines.lines().map(message).filter_map(|message| message[".state"]["text"].as_str().map(str::to_owned));
    assert_eq!(texts.collect::<Vec<_>>(), ["one", "two", "24 80"]);
    assert_eq!(broker.output(&["run", "job", "--pty", "--", "/nonesuch"]).status.code(), Some(127));
}

#[test]
fn keys_and_sizes_reach_a_command_with_a_terminal_of_its_own() {
    let broker = Broker::start();
    let script = "trap 'stty size' WINCH; echo ready; read line; echo got $line; while :; do sleep 0.01; done";
    let mut terminal = Terminal::new(&broker, &["run", "job", "--tty", "--", "sh", "-c", script]);
    terminal.until_shown("ready");
    terminal.type_in("hello\r");
    terminal.until_shown("got hello");
    terminal.resize(33, 77);
    terminal.until_shown("33 77");
    terminal.type_in("\u{3}");
    terminal.end();
    assert_eq!(last(&broker), value("Abort", r#"{"reason":"interrupted","signal":2}"#));
}

#[test]
fn the_terminal_is_as_it_was_after_a_command_with_one_of_its_own() {
    let broker = Broker::start();
    let script = "stty -g > before; \"$1\" run job --tty -- true; stty -g > after; cmp before after && echo same";
    let folder = std::env::temp_dir().join(format!("msgstream-run-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let script = format!("cd '{}'; {script}", folder.display());
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_msgstream")]).env("MSGSTREAM_SERVER", &broker.address);
    Terminal::start(&shell, 24, 80).until_shown("same");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_keyboard_of_a_shared_terminal_interrupts_once() {
    let broker = Broker::start();
    let script = "trap 'echo got it' INT; trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    let mut terminal = Terminal::new(&broker, &["run", "job", "--", "sh", "-c", script]);
    terminal.until_shown("ready");
    terminal.type_in("\u{3}");
    terminal.until_shown("got it");
    kill_process(Pid::from_raw(header_when(&broker, |_| true)["pid"].as_i64().unwrap().try_into().unwrap()).unwrap(), Signal::TERM)
        .unwrap();
    let (_, shown) = terminal.end();
    assert_eq!(shown.screen.iter().filter(|row| row.contains("got it")).count(), 1);
}

/// The shell tells of the stop, and `fg` gives the command the terminal.
#[test]
fn a_command_in_the_background_that_reads_from_the_terminal_stops_until_it_is_in_the_foreground() {
    let broker = Broker::start();
    let mut shell = std::process::Command::new("bash");
    shell
        .args(["--norc", "--noprofile", "-i"])
        .env("MSGSTREAM_SERVER", &broker.address)
        .env("PS1", "$ ")
        .env("RUN", env!("CARGO_BIN_EXE_msgstream"));
    let mut terminal = Terminal::start(&shell, 30, 100);
    terminal.until_shown("$");
    terminal.type_in("\"$RUN\" run job -- sh -c 'read a; echo got-$a; exec sleep 600' &\r");
    header_when(&broker, |state| state["pid"].is_number());
    // bash tells of it with its next prompt.
    loop {
        terminal.type_in("jobs\r");
        let told = terminal.until(|shown| shown.contains("Running") || shown.contains("Stopped"));
        if told.contains("Stopped") {
            break;
        }
    }
    terminal.type_in("fg\r");
    // A line end that is one also while the terminal is still set for the shell.
    terminal.type_in("one\n");
    terminal.until_shown("got-one");
    terminal.type_in("\u{3}");
    assert_fails(&broker.output(&["wait", "job"]), 2, "interrupted");
    terminal.type_in("exit\r");
    terminal.end();
}
