//! Bars, and what is typed, in a pseudo-terminal.

use crate::screen::{Shown, Terminal};
use crate::{Broker, ago, object};

#[test]
fn a_terminal_shows_bars_and_lines_above_them() {
    let broker = Broker::start();
    broker.ok(&["header", "job-1", &object("Join", r#"{"title":"a fit","k":2,"total":10,"units":"steps"}"#)]);
    broker.ok(&["header", "job-2", r#"{"k":1,"total":4}"#]);
    let terminal = Terminal::new(&broker, &["listen", "job-1", "job-2"]);
    terminal.until_shown("2/10 steps");
    assert!(terminal.until_shown("1/4").contains("█"));
    broker.ok(&["put", "job-1", &object("Log", r#"{"text":"a line of the log"}"#)]);
    terminal.until_shown("job-1: a line of the log");
    broker.ok(&["put", "job-1", &object("Progress", r#"{"k":7,"text":"cooling"}"#)]);
    let shown = terminal.until_shown("cooling");
    assert!(shown.contains("job-1 a fit  70% ") && shown.contains("7/10 steps"), "{shown}");
    broker.ok(&["put", "job-2", "[1.5,true]"]);
    terminal.until_shown("job-2: [1.5,true]");
    broker.ok(&["put", "job-1", &object("Improvement", r#"{"value":2.5,"chisq":1.25}"#)]);
    terminal.until_shown("job-1: better: 2.5, chisq 1.25");
    broker.ok(&["close", "job-1", &object("Complete", "{}")]);
    terminal.until_shown("job-1 a fit: done");
    broker.ok(&["close", "job-2"]);
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = shown.lines().filter(|line| !line.is_empty()).collect();
    let expected = ["job-1: a line of the log", "job-2: [1.5,true]", "job-1: better: 2.5, chisq 1.25", "job-1 a fit: done", "job-2: ended"];
    assert_eq!(lines, expected, "bars give up their rows");
}

/// Bars come and go with the streams of a prefix. What begins again begins anew.
#[test]
fn the_streams_of_a_prefix_have_bars_as_they_come() {
    let broker = Broker::start();
    broker.ok(&["header", "fit-1", &object("Join", r#"{"title":"a fit","k":2,"total":10,"units":"steps"}"#)]);
    let terminal = Terminal::new(&broker, &["listen", "--prefix", "fit-", "--count", "5"]);
    terminal.until_shown("2/10 steps");
    broker.ok(&["put", "fit-2", r#"{"k":1,"total":4}"#]);
    let shown = terminal.until_shown("1/4");
    assert!(shown.contains("2/10 steps"), "{shown}");
    broker.ok(&["close", "fit-1", &object("Complete", "{}")]);
    terminal.until_shown("fit-1 a fit: done");
    broker.ok(&["header", "fit-1", r#"{"k":3,"total":5}"#]);
    let shown = terminal.until_shown("3/5");
    assert!(!shown.contains("a fit  "), "{shown}");
    broker.ok(&["close", "fit-1"]);
    terminal.until_shown("fit-1: ended");
    broker.ok(&["put", "fit-3", "1"]);
    broker.ok(&["put", "fit-3", "2"]);
    assert_eq!(terminal.end().0, Some(0));
}

/// Every end is a line that stays, whatever the terminal has room for.
#[test]
fn fifteen_jobs_in_ten_rows_show_every_end() {
    let broker = Broker::start();
    let names: Vec<String> = (1..=15).map(|number| format!("job-{number}")).collect();
    for name in &names {
        let state = format!(r#"{{"title":"make all","k":1,"total":4,"started":"{}"}}"#, ago(3600));
        broker.ok(&["header", name, &object("Join", &state)]);
    }
    let arguments: Vec<&str> = ["listen"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let terminal = Terminal::start(&broker.command(&arguments), 10, 80);
    let shown = terminal.until_shown("7 more: 7 running");
    assert_eq!(shown.screen.iter().filter(|row| row.contains(" 25% ")).count(), 8, "{shown}");
    assert_eq!(shown.scrollback.len(), 0, "{shown}");

    let end = r#""started":"2026-11-28T12:55:19+00:00","ended":"2026-11-28T12:55:23+00:00""#;
    broker.ok(&["close", "job-15", &object("Error", &format!(r#"{{"reason":"exit status 2",{end}}}"#))]);
    terminal.until_shown("job-15 make all: failed after 4 s: exit status 2");
    terminal.until_shown("7 more: 1 failed, 6 running");
    for name in &names[..14] {
        broker.ok(&["close", name, &object("Complete", &format!(r#"{{"result":{{"exit":0}},{end}}}"#))]);
        terminal.until_shown(&format!("{name} make all: done in 4 s"));
    }
    let (code, shown) = terminal.end();
    let lines: Vec<&str> = shown.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!((code, lines.len(), lines.last()), (Some(1), 16, Some(&"15 streams: 1 failed, 14 done")), "{shown}");
    assert_eq!(lines[0], "job-15 make all: failed after 4 s: exit status 2");
}

/// What a job has to say takes no more of the line than leaves room for the bar.
#[test]
fn long_titles_and_texts_leave_room_for_the_bar() {
    let broker = Broker::start();
    let long = "so long ".repeat(20);
    broker.ok(&["header", "job", &format!(r#"{{"k":1,"total":2,"title":"{long}","text":"{long}"}}"#)]);
    let terminal = Terminal::new(&broker, &["listen", "job"]);
    terminal.until(|shown| ["so long", "50%", "█", "1/2 so long", "…"].iter().all(|text| shown.screen[0].contains(text)));
}

/// A command under `run` never says how far it is, and may be quiet for long.
#[test]
fn a_job_that_does_not_say_how_far_it_is_shows_how_long_it_runs() {
    let broker = Broker::start();
    broker.ok(&["header", "job", &object("Start", &format!(r#"{{"title":"make all","started":"{}"}}"#, ago(3600)))]);
    let terminal = Terminal::new(&broker, &["listen", "job"]);
    let first = terminal.until_shown("job make all [1:0");
    // It goes on while nothing comes.
    terminal.until(|shown| shown.screen[0] != first.screen[0] && shown.screen[0].starts_with("job make all [1:0"));
    broker.ok(&["close", "job"]);
    let (_, shown) = terminal.end();
    assert!(shown.contains("job make all: ended after 1 h"), "{shown}");
}

/// Times count from when the job began, and not from when somebody looked.
#[test]
fn who_joins_late_sees_the_times_of_the_job() {
    let broker = Broker::start();
    let started = ago(3600);
    broker.ok(&["header", "job", &object("Join", &format!(r#"{{"k":100,"total":200,"started":"{started}"}}"#))]);
    let terminal = Terminal::new(&broker, &["listen", "job"]);
    let shown = terminal.until_shown("]");
    let times = shown.screen[0].split_once("100/200 [1:0").expect("it began an hour ago").1;
    assert!(times.contains("<1:0") && times.contains(", 36"), "it is half done: {shown}");
}

/// What was drawn goes away with each drawing, whatever the size of the terminal was then.
#[test]
fn a_terminal_that_changes_its_size_shows_no_remains() {
    let broker = Broker::start();
    for name in ["job-1", "job-2", "job-3"] {
        broker.ok(&["header", name, &object("Join", &format!(r#"{{"k":1,"total":4,"started":"{}"}}"#, ago(3600)))]);
    }
    // This one cuts its lines when it is made narrower, as the model does.
    let mut command = broker.command(&["listen", "job-1", "job-2", "job-3"]);
    let terminal = Terminal::start(command.env("XTERM_VERSION", "XTerm(390)"), 10, 120);
    terminal.until_shown("job-3  25% ");
    broker.ok(&["put", "job-1", "\"a line\""]);
    // All of a drawing has come, so that the change does not fall into the midst of it.
    let drawn = |shown: &Shown| shown.screen[1..4].iter().all(|row| row.ends_with(']'));
    terminal.until(|shown| shown.contains("job-1: a line") && drawn(shown));
    let bars = |shown: &Shown| shown.lines().filter(|line| line.contains(" 25% ")).count();
    let rows = |shown: &Shown| shown.lines().filter(|line| !line.is_empty()).count();
    for (columns, widest) in [(60, 59), (40, 39), (100, 99)] {
        terminal.resize(10, columns);
        // Rows of the width that is right for the new size, with all three columns of them in place.
        let fits = |shown: &Shown| shown.screen[1..4].iter().all(|row| row.chars().count() <= widest) && drawn(shown);
        let shown = terminal.until(|shown| fits(shown) && bars(shown) == 3 && rows(shown) == 4);
        assert_eq!(shown.screen[0], "job-1: a line", "{shown}");
    }
    terminal.resize(10, 40);
    terminal.until(|shown| shown.screen[1].ends_with("<3:00:00]") || shown.screen[1].contains("[1:0"));
    for name in ["job-1", "job-2", "job-3"] {
        broker.ok(&["close", name]);
    }
    let (_, shown) = terminal.end();
    assert_eq!((bars(&shown), rows(&shown)), (0, 4), "{shown}");
}

/// As after Ctrl-Z and `fg`: what the shell has written meanwhile stays, and the bars go on below it.
#[test]
fn a_program_that_was_stopped_draws_below_what_others_have_written() {
    let broker = Broker::start();
    for name in ["job-1", "job-2", "job-3"] {
        broker.ok(&["header", name, r#"{"k":1,"total":4}"#]);
    }
    let terminal = Terminal::new(&broker, &["listen", "job-1", "job-2", "job-3"]);
    let bars = |shown: &Shown, from: usize| shown.screen[from..from + 3].iter().all(|row| row.contains(" 25% ") && row.ends_with(" 1/4"));
    terminal.until(|shown| bars(shown, 0));
    terminal.stop();
    terminal.write_as_another("\r\n[1]+  Stopped\r\n$ fg\r\n");
    terminal.go_on();
    let shown = terminal.until(|shown| bars(shown, 5));
    assert_eq!(shown.screen[3..5], ["[1]+  Stopped", "$ fg"], "{shown}");
}

#[test]
fn a_phone_shows_names_shares_and_ends() {
    let broker = Broker::start();
    let names = ["解析-1", "🚀 launch"];
    for name in names {
        let state = format!(r#"{{"title":"日本語の長い題名","k":1,"total":4,"units":"歩","started":"{}"}}"#, ago(3600));
        broker.ok(&["header", name, &object("Join", &state)]);
    }
    let terminal = Terminal::start(&broker.command(&["listen", names[0], names[1]]), 10, 40);
    let shown = terminal.until(|shown| shown.screen[1].contains(" 25% "));
    let percent = |row: &String| row.split_once(" 25% ").map(|(label, _)| label.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum());
    let columns: Vec<Option<usize>> = shown.screen[..2].iter().map(percent).collect();
    assert!(columns[0].is_some() && columns[0] == columns[1], "the shares stand in a column: {shown}");
    for name in names {
        broker.ok(&["close", name, &object("Complete", "{}")]);
    }
    let (_, shown) = terminal.end();
    assert!(shown.contains("解析-1 日本語の長い題名: done in 1 h"), "{shown}");
}

/// Colours of a job pass, and nothing else of what would control the terminal.
#[test]
fn received_text_does_not_control_the_terminal() {
    let broker = Broker::start();
    broker.ok(&["header", "job", "\"here\""]);
    let terminal = Terminal::new(&broker, &["listen", "job"]);
    terminal.until_shown("here");
    broker.ok(&["put", "job", r#""one\r\n\u001b[31mtwo\u001b[0m\n\u001b[2J\u001b]0;title\u0007three""#]);
    terminal.until_shown("three");
    broker.ok(&["put", "job", r#""\u001b[1;1Hfour""#]);
    terminal.until_shown("four");
    broker.ok(&["close", "job"]);
    let (_, shown) = terminal.end();
    let lines: Vec<&str> = shown.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines[..5], ["here", "one", "two", "␛[2J␛]0;title␇three", "␛[1;1Hfour"], "{shown}");
}

/// Who has seen enough keeps what was seen, and the cursor below it.
#[test]
fn ctrl_c_leaves_the_bars_where_they_are() {
    let broker = Broker::start();
    broker.ok(&["header", "job", r#"{"k":1,"total":4}"#]);
    let mut terminal = Terminal::start(&broker.command(&["listen", "job"]), 10, 100);
    terminal.until_shown("1/4");
    terminal.type_in("\u{3}");
    let (code, shown) = terminal.end();
    assert!(code == Some(130) && shown.screen[0].contains(" 1/4"), "{code:?} {shown}");
}

/// Who is waited for has a row, and is not counted again.
#[test]
fn rows_are_never_more_than_the_terminal_has() {
    let broker = Broker::start();
    for name in ["a", "b", "c", "d"] {
        broker.ok(&["header", name, r#"{"k":1,"total":4}"#]);
    }
    for (rows, expected) in
        [(5, "2 more: 2 running"), (4, "3 more: 3 running"), (3, "4 more: 4 running"), (2, "6 more: 4 running, 2 waiting")]
    {
        let terminal = Terminal::start(&broker.command(&["listen", "a", "b", "c", "d", "e", "f"]), rows, 60);
        let shown = terminal.until_shown(expected);
        let used = shown.lines().filter(|line| !line.is_empty()).count();
        assert!(shown.scrollback.is_empty() && used == usize::from(rows - 1), "{shown}");
        assert_eq!(shown.contains("waiting for e, f"), rows > 2, "{shown}");
    }
}

/// Without a terminal the same command prints the lines of the protocol, and with `--json` so it does on one.
#[test]
fn json_is_for_terminals_too() {
    let broker = Broker::start();
    broker.ok(&["header", "job", r#"{"k":1,"total":4}"#]);
    let (code, shown) = Terminal::new(&broker, &["listen", "job", "--json", "--count", "1"]).end();
    let expected = "{\"action\":\"put\",\"stream\":\"job\",\"message\":{\"k\":1,\"total\":4}}";
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
        assert!(shown.contains("a line") && shown.contains("job ended "), "{name}={value}: {shown}");
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

/// Text as a person reads it, where another program can search it.
#[test]
fn text_goes_into_a_pipe_as_well() {
    let broker = Broker::start();
    broker.ok(&["header", "job", &object("Join", r#"{"title":"a fit","k":1,"total":4}"#)]);
    let lines = |arguments: &[&str]| {
        let mut listening = broker.command(arguments);
        let child = listening.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        broker.until_joined("job");
        broker.ok(&["put", "job", &object("Log", r#"{"text":"\u001b[31man error\u001b[0m\nhere","level":"error"}"#)]);
        broker.ok(&["put", "job", &object("Progress", r#"{"k":2,"text":"cooling"}"#)]);
        broker.ok(&["put", "job", &object("Abort", r#"{"reason":"asked"}"#)]);
        let output = child.wait_with_output().unwrap();
        let printed = crate::text(&output.stdout).lines().filter(|line| !line.contains("null")).map(str::to_owned).collect::<Vec<_>>();
        (printed, crate::text(&output.stderr).to_owned())
    };
    let plain = lines(&["listen", "job", "--plain", "--count", "5"]);
    assert_eq!(plain, (["1/4", "an error", "here", "2/4 cooling", "job a fit: aborted: asked"].map(str::to_owned).to_vec(), String::new()));
    let own = lines(&["listen", "job", "--format", "{stream}|{title}|{level}|{percent}|{text}", "--count", "5"]);
    assert_eq!(
        own.0,
        [
            "job|a fit||25|1/4",
            "job|a fit|error|25|an error",
            "job|a fit|error|25|here",
            "job|a fit||50|2/4 cooling",
            "job|a fit||50|aborted: asked"
        ]
    );
    let (timed, _) = lines(&["listen", "job", "-t", "--count", "5"]);
    let now = jiff::Timestamp::now().strftime("%Y-").to_string();
    assert!(timed.iter().all(|line| line.starts_with(&now)) && timed[1].ends_with(" an error"), "{timed:?}");
    let output = broker.output(&["listen", "job", "--format", "{nonesuch}"]);
    crate::assert_fails(&output, 64, "there is no {nonesuch}; write {stream}, ");
}

#[test]
fn colours_are_for_those_who_want_them() {
    let broker = Broker::start();
    broker.ok(&["header", "job", r#""\u001b[32mgreen""#]);
    broker.ok(&["close", "job", &object("Error", r#"{"reason":"no data"}"#)]);
    let command = || broker.command(&["listen", "job"]);
    let coloured = Terminal::start(&command(), 10, 100).end().1;
    assert_eq!((coloured.colour_of("green"), coloured.colour_of("failed")), (Some(2), Some(1)), "{coloured}");
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let shown = Terminal::start(command().env(name, value), 10, 100).end().1;
        assert_eq!((shown.colour_of("green"), shown.colour_of("failed")), (None, None), "{name}={value}: {shown}");
    }
}
