//! What is heard of what a command writes.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use super::{last, message, pid};
use crate::{Broker, assert_fails, text};

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

/// As cargo draws one before it runs what it has built.
#[test]
fn a_bar_that_is_gone_is_not_shown_any_longer() {
    let broker = Broker::start();
    let mut listening = broker.listen(&["job"]);
    let terminal = crate::screen::Terminal::new(&broker, &["listen", "job"]);
    terminal.until_shown("here");
    let script = r"printf 'Building 1/3\r'; printf 'Compiling b\nBuilding 2/3\r'; printf 'Finished now\n'; read go";
    let mut child = broker.command(&["run", "job", "--", "sh", "-c", script]).stdin(Stdio::piped()).spawn().unwrap();
    let mut heard = Vec::new();
    while heard.last().is_none_or(|(class, _)| class != "monitor.Join") {
        let message = message(&listening.line());
        heard.push((message[".class"].as_str().unwrap().to_owned(), message[".state"]["k"].clone()));
    }
    let steps: Vec<_> = heard.iter().filter(|(class, _)| class != "monitor.Log").map(|(_, k)| k.as_i64()).collect();
    assert_eq!(steps, [None, Some(1), Some(2), None], "{heard:?}");
    terminal.until(|shown| shown.contains("Finished now") && !shown.contains(" 66% ") && shown.contains("job sh -c "));
    assert!(super::header_when(&broker, |_| true)["total"].is_null());
    drop(child.stdin.take());
    child.wait().unwrap();
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
    // To wait for a child closes what is left of its input.
    let input = child.stdin.take();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    drop(input);
    assert_fails(&broker.output(&["wait", "job"]), 1, "exit status 3");
}
