//! A command on a terminal: one of its own, or the one of `run`.

use rustix::process::{Pid, Signal, kill_process};

use super::{header_when, last, message, value};
use crate::screen::Terminal;
use crate::{Broker, assert_fails, text};

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
