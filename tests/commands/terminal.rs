//! Bars, and what is typed, in a pseudo-terminal.

use crate::Broker;
use crate::screen::Terminal;

#[test]
fn a_terminal_shows_bars_and_lines_above_them() {
    let broker = Broker::start();
    let object = |class: &str, state: &str| format!(r#"{{".class":"monitor.{class}",".version":"1.0",".state":{state}}}"#);
    broker.ok(&["header", "job-1", &object("Join", r#"{"title":"a fit","k":2,"total":10,"units":"steps"}"#)]);
    broker.ok(&["header", "job-2", r#"{"k":1,"total":4}"#]);
    let terminal = Terminal::new(&broker, &["listen", "job-1", "job-2"]);
    terminal.until_shown("2/10 steps");
    assert!(terminal.until_shown("1/4").contains("█"));
    broker.ok(&["put", "job-1", &object("Log", r#"{"text":"a line of the log"}"#)]);
    terminal.until_shown("job-1: a line of the log");
    broker.ok(&["put", "job-1", &object("Progress", r#"{"k":7,"text":"cooling"}"#)]);
    terminal.until_shown("7/10 steps cooling");
    broker.ok(&["put", "job-2", "[1.5,true]"]);
    terminal.until_shown("job-2: [1.5,true]");
    broker.ok(&["put", "job-1", &object("Improvement", r#"{"value":2.5,"chisq":1.25}"#)]);
    terminal.until_shown("job-1: better: 2.5, chisq 1.25");
    broker.ok(&["close", "job-1", &object("Complete", "{}")]);
    terminal.until_shown("7/10 steps done");
    broker.ok(&["close", "job-2"]);
    terminal.until_shown("1/4 ended");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0));
    assert!(shown.contains("a fit"), "{shown}");
}

/// What a job has to say takes no more of the line than leaves room for the bar.
#[test]
fn long_titles_and_texts_leave_room_for_the_bar() {
    let broker = Broker::start();
    let long = "so long ".repeat(20);
    broker.ok(&["header", "job", &format!(r#"{{"k":1,"total":2,"title":"{long}","text":"{long}"}}"#)]);
    let terminal = Terminal::new(&broker, &["listen", "job"]);
    let shown = terminal.until_shown("so long");
    assert!(shown.contains("█") && shown.contains("so long") && shown.contains("…"), "{shown}");
}

/// A command under `run` never says how far it is, and may be quiet for long.
#[test]
fn a_job_that_does_not_say_how_far_it_is_shows_how_long_it_runs() {
    let broker = Broker::start();
    broker.ok(&["header", "job", r#"{".class":"monitor.Start",".version":"1.0",".state":{"title":"make all"}}"#]);
    let terminal = Terminal::new(&broker, &["listen", "job"]);
    terminal.until_shown(" 0s");
    terminal.until_shown(" 1s");
    broker.ok(&["close", "job"]);
    let (_, closed) = terminal.end();
    assert!(closed.contains(" ended") && !closed.contains(" 0 "), "it has not said 0: {closed}");
}

/// Without a terminal the same command prints the lines of the protocol, and with `--json` so it does on one.
#[test]
fn json_is_for_terminals_too() {
    let broker = Broker::start();
    broker.ok(&["header", "job", r#"{"k":1,"total":4}"#]);
    broker.ok(&["close", "job"]);
    let (code, shown) = Terminal::new(&broker, &["listen", "job", "--json"]).end();
    let expected = "{\"action\":\"put\",\"stream\":\"job\",\"message\":{\"k\":1,\"total\":4}}\n{\"action\":\"close\",\"stream\":\"job\"}";
    assert_eq!((code, shown.screen.join("\n").trim_end()), (Some(0), expected));
}

/// What a terminal has shown last stays there when the time is up.
#[test]
fn bars_stay_when_listening_ends_before_the_job() {
    let broker = Broker::start();
    broker.ok(&["header", "job", r#"{"k":1,"total":4}"#]);
    let (_, shown) = Terminal::new(&broker, &["listen", "job", "--count", "1"]).end();
    assert!(shown.contains("1/4"), "{shown}");
}

/// Who wants no colours, or has a terminal that can draw nothing, still gets to see something.
#[test]
fn a_terminal_without_colours_shows_messages_as_well() {
    let broker = Broker::start();
    broker.ok(&["header", "job", "\"a line\""]);
    broker.ok(&["close", "job"]);
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let (_, shown) = Terminal::start(broker.command(&["listen", "job"]).env(name, value), 40, 100).end();
        assert!(shown.contains("a line") && shown.contains("ended"), "{name}={value}: {shown}");
    }
}

/// Somebody who gave no header is told that it is waited for, as `put` tells it of its lines.
#[test]
fn what_is_typed_is_asked_for() {
    let broker = Broker::start();
    let mut terminal = Terminal::new(&broker, &["header", "job"]);
    terminal.until_shown("the header, ended by Ctrl-D");
    terminal.type_in("{\"k\":1}\n\u{4}");
    assert_eq!(terminal.end().0, Some(0));
    assert_eq!(broker.ok(&["get", "job"]), "{\"k\":1}\n");

    let mut terminal = Terminal::new(&broker, &["put", "job"]);
    terminal.until_shown("one message a line, ended by Ctrl-D");
    terminal.type_in("\u{4}");
    assert_eq!(terminal.end().0, Some(0));
}
