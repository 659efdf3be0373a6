//! top: the directory of streams, live, in a pseudo-terminal.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::screen::{Shown, Terminal};
use crate::{Broker, ago, assert_fails, object};

/// The row of a stream.
fn row<'s>(shown: &'s Shown, stream: &str) -> Option<&'s str> {
    shown.screen.iter().map(String::as_str).find(|row| row.split_whitespace().next() == Some(stream))
}

fn has(shown: &Shown, stream: &str, parts: &[&str]) -> bool {
    row(shown, stream).is_some_and(|row| parts.iter().all(|part| row.contains(part)))
}

fn join(k: u32) -> String {
    object("Join", &format!(r#"{{"title":"a fit","k":{k},"total":10,"units":"steps","started":"{}"}}"#, ago(3600)))
}

#[test]
fn jobs_are_seen_as_they_go_on_and_end() {
    let broker = Broker::start();
    broker.ok(&["header", "old", "1"]);
    broker.ok(&["close", "old", &object("Lost", r#"{"reason":"no word for 5 min"}"#)]);
    let mut terminal = Terminal::start(&broker.command(&["top"]), 20, 100);
    // How it has ended is not in the directory.
    terminal.until(|shown| has(shown, "old", &["lost", "no word for 5 min"]) && shown.contains("1 lost"));
    broker.ok(&["header", "fit-1", &join(2)]);
    terminal.until(|shown| has(shown, "fit-1", &["running", "20%", "█", "a fit"]));
    broker.ok(&["put", "fit-1", &object("Progress", r#"{"k":7,"text":"cooling"}"#)]);
    terminal.until(|shown| has(shown, "fit-1", &["running", "70%", "cooling"]));
    broker.ok(&["put", "fit-2", r#""\u001b[2J\u001b[31msaid\u0007""#]);
    terminal.until(|shown| has(shown, "fit-2", &["waiting", "␛[2Jsaid␇"]));
    broker.ok(&["close", "fit-1", &object("Error", r#"{"reason":"exit status 2"}"#)]);
    let shown = terminal.until(|shown| has(shown, "fit-1", &["failed", "exit status 2"]) && shown.contains("1 failed  1 lost"));
    assert_eq!((row(&shown, "fit-1"), shown.colour_of("failed")), (Some(&*shown.screen[3]), Some(1)), "it is first: {shown}");
    // What runs again has not failed.
    broker.ok(&["header", "fit-1", &join(1)]);
    terminal.until(|shown| has(shown, "fit-1", &["running", "10%"]));
    broker.ok(&["delete", "fit-1"]);
    terminal.until(|shown| row(shown, "fit-1").is_none());
    terminal.type_in("q");
    let (code, shown) = terminal.end();
    assert_eq!((code, shown.screen.concat()), (Some(0), String::new()), "the terminal is as it was before");
}

#[test]
fn who_looks_is_none_of_the_listeners() {
    let broker = Broker::start();
    broker.ok(&["header", "job", "1"]);
    let terminal = Terminal::start(&broker.command(&["top"]), 20, 120);
    let listeners =
        |number: &'static str| move |shown: &Shown| row(shown, "job").is_some_and(|row| row.split_whitespace().nth(2) == Some(number));
    terminal.until(listeners("0"));
    let mut listening = broker.listen(&["job"]);
    terminal.until(listeners("1"));
    listening.child.kill().unwrap();
    listening.child.wait().unwrap();
    terminal.until(listeners("0"));
}

#[test]
fn a_stream_can_be_looked_at() {
    let broker = Broker::start();
    broker.ok(&["header", "fit-1", &join(2)]);
    broker.ok(&["put", "fit-1", "\"said before\""]);
    broker.ok(&["header", "fit-2", &join(3)]);
    let mut terminal = Terminal::start(&broker.command(&["top", "fit-"]), 20, 100);
    terminal.until(|shown| has(shown, "fit-2", &["30%"]) && shown.contains("only fit-"));
    terminal.type_in("j\r");
    terminal.until(|shown| shown.screen[0].starts_with("fit-2  running  a fit"));
    terminal.type_in("\u{1b}");
    terminal.until(|shown| row(shown, "fit-1").is_some());
    terminal.type_in("\u{1b}[H\r");
    terminal.until(|shown| shown.screen[0].starts_with("fit-1  running"));
    // Esc and another key, which come together.
    terminal.type_in("\u{1b}j");
    terminal.until(|shown| row(shown, "fit-1").is_some());
    terminal.type_in("k\r");
    terminal.until(|shown| shown.screen[0].starts_with("fit-1  running") && shown.contains("said before") && shown.contains("2/10 steps"));
    broker.ok(&["put", "fit-1", &object("Log", r#"{"text":"one\ntwo"}"#)]);
    let shown = terminal.until(|shown| shown.screen.iter().any(|row| row == "two"));
    assert!(shown.screen.iter().any(|row| row == "one") && shown.screen[3].starts_with("header {"), "{shown}");
    broker.ok(&["close", "fit-1", &object("Complete", r#"{"result":"fit.csv"}"#)]);
    terminal.until(|shown| shown.screen[0].starts_with("fit-1  done") && shown.contains("the stream has ended"));
    terminal.type_in("\u{3}");
    assert_eq!(terminal.end().0, Some(130));
}

#[test]
fn a_broker_that_is_away_is_told_and_found_again() {
    let mut broker = Broker::start();
    broker.ok(&["header", "job", &join(2)]);
    broker.ok(&["header", "over", "1"]);
    broker.ok(&["close", "over", &object("Complete", "{}")]);
    let mut terminal = Terminal::start(&broker.command(&["top"]), 10, 40);
    terminal.until(|shown| has(shown, "job", &["running"]) && has(shown, "over", &["done"]));
    broker.stop();
    let shown = terminal.until(|shown| has(shown, "job", &["no news"]) && shown.screen[0].starts_with("no connection"));
    assert!(!shown.contains("running") && has(&shown, "over", &["done"]), "{shown}");
    broker.start_again();
    // The new broker knows nothing of them, and this makes nothing of that name.
    terminal.until_shown("there are no streams");
    broker.ok(&["header", "job", &join(5)]);
    terminal.until(|shown| has(shown, "job", &["running", "50%"]) && shown.screen[0].ends_with(" connected"));
    assert_eq!(broker.ok(&["streams", "--json"]).lines().count(), 1);
    terminal.type_in("q");
    assert_eq!(terminal.end().0, Some(0));
}

/// The way to a broker, which can be blocked.
struct Way {
    address: String,
    blocked: Arc<Mutex<bool>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Way {
    fn to(broker: &Broker) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Self { address: listener.local_addr().unwrap().to_string(), blocked: Arc::default(), open: Arc::default() };
        let (blocked, open, broker) = (Arc::clone(&way.blocked), Arc::clone(&way.open), broker.address.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Locked until both are noted, so that none is missed when the way is blocked.
                let blocked = blocked.lock().unwrap();
                let Ok(server) = TcpStream::connect(&broker) else { continue };
                if *blocked {
                    continue;
                }
                for (mut from, mut to) in [(&client, &server), (&server, &client)].map(|(one, other)| (copy(one), copy(other))) {
                    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                }
                open.lock().unwrap().extend([client, server]);
            }
        });
        way
    }

    fn block(&self, is_blocked: bool) {
        *self.blocked.lock().unwrap() = is_blocked;
        for socket in self.open.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn copy(socket: &TcpStream) -> TcpStream {
    socket.try_clone().unwrap()
}

/// What was missed comes, and what was there is not taken for missing.
#[test]
fn a_connection_that_is_lost_is_told_and_made_again() {
    let broker = Broker::start();
    for name in ["fit-1", "fit-2", "fit-3"] {
        broker.ok(&["header", name, &join(2)]);
    }
    broker.ok(&["put", "fit-1", "\"the first\""]);
    let way = Way::to(&broker);
    let start = || Terminal::start(broker.command(&["top"]).env("MSGSTREAM_SERVER", &way.address), 15, 100);
    let (mut page, terminal) = (start(), start());
    terminal.until(|shown| has(shown, "fit-3", &["running", "20%"]));
    page.until(|shown| has(shown, "fit-1", &["running", "the first"]));
    page.type_in("\r");
    page.until(|shown| shown.screen[4] == "the first");
    way.block(true);
    terminal.until(|shown| ["fit-1", "fit-2", "fit-3"].iter().all(|name| has(shown, name, &["no news"])));
    page.until(|shown| shown.screen[0].starts_with("no connection  fit-1  no news"));
    broker.ok(&["put", "fit-1", "\"the second\""]);
    broker.ok(&["delete", "fit-2"]);
    broker.ok(&["close", "fit-3", &object("Error", "{}")]);
    way.block(false);
    terminal.until(|shown| {
        has(shown, "fit-1", &["running", "the second"]) && row(shown, "fit-2").is_none() && has(shown, "fit-3", &["failed"])
    });
    let shown = page.until(|shown| shown.screen.iter().any(|row| row == "the second"));
    assert_eq!(shown.lines().filter(|line| *line == "the first").count(), 1, "nothing comes twice: {shown}");
    assert!(!shown.contains("missing"), "nothing is missing: {shown}");
}

#[test]
fn a_terminal_of_any_size_is_filled_and_no_more() {
    let broker = Broker::start();
    for number in 1..=15 {
        broker.ok(&["header", &format!("job-{number}"), &join(4)]);
    }
    let mut terminal = Terminal::start(&broker.command(&["top"]), 10, 40);
    terminal.until(|shown| has(shown, "job-6", &["running", "40%"]) && shown.screen[9].ends_with("1-6/15"));
    terminal.type_in("G");
    terminal.until(|shown| has(shown, "job-15", &["40%"]) && shown.screen[9].ends_with("10-15/15"));
    terminal.resize(24, 120);
    let shown = terminal.until(|shown| has(shown, "job-1", &["40%"]) && shown.screen[23].ends_with("1-15/15"));
    assert!(shown.screen[2].contains("listeners") && has(&shown, "job-15", &["█", "a fit"]), "{shown}");
    terminal.resize(5, 20);
    terminal.until(|shown| has(shown, "job-15", &["running"]) && row(shown, "job-1").is_none());
}

#[test]
fn rows_are_searched_sorted_and_held() {
    let broker = Broker::start();
    for (name, k) in [("fit-1", 1), ("fit-2", 9), ("sim", 5)] {
        broker.ok(&["header", name, &join(k)]);
    }
    let mut terminal = Terminal::start(&broker.command(&["top"]), 12, 80);
    let first = |stream: &'static str| move |shown: &Shown| row(shown, stream).is_some_and(|row| row == shown.screen[3]);
    terminal.until(|shown| has(shown, "sim", &["50%"]) && has(shown, "fit-1", &["10%"]) && has(shown, "fit-2", &["90%"]));
    terminal.type_in("ss");
    terminal.until(first("fit-2"));
    terminal.type_in("r");
    terminal.until(first("fit-1"));
    terminal.type_in("/SIM");
    terminal.until(|shown| first("sim")(shown) && row(shown, "fit-1").is_none());
    terminal.type_in("\u{1b}");
    terminal.until(first("fit-1"));
    terminal.type_in(" ");
    terminal.until_shown("held since");
    broker.ok(&["put", "fit-1", r#"{"k":10}"#]);
    broker.ok(&["header", "new", "1"]);
    terminal.type_in("?");
    // The help shows that all before it has been drawn.
    let shown = terminal.until_shown("hold what is shown");
    assert!(row(&shown, "new").is_none());
    terminal.type_in("? ");
    terminal.until(|shown| row(shown, "new").is_some() && has(shown, "fit-1", &["100%"]));
}

/// By a signal as by a key.
#[test]
fn the_terminal_is_given_back_however_top_ends() {
    let broker = Broker::start();
    broker.ok(&["header", "job", "1"]);
    let terminal = Terminal::start(&broker.command(&["top"]), 10, 60);
    terminal.until(|shown| row(shown, "job").is_some());
    terminal.terminate();
    let (code, shown) = terminal.end();
    assert_eq!((code, shown.screen.concat()), (Some(143), String::new()));
    assert!(!shown.hides_cursor());

    // As after Ctrl-Z and `fg`.
    let mut terminal = Terminal::start(&broker.command(&["top"]), 10, 60);
    terminal.until(|shown| row(shown, "job").is_some());
    terminal.stop();
    terminal.write_as_another("\u{1b}[?1049l\u{1b}[2J\u{1b}[H[1]+  Stopped");
    terminal.go_on();
    terminal.until(|shown| row(shown, "job").is_some() && !shown.contains("Stopped"));
    terminal.type_in("q");
    assert_eq!(terminal.end().0, Some(0));
}

#[test]
fn what_is_no_terminal_is_told_of_the_list() {
    let broker = Broker::start();
    assert_fails(&broker.output(&["top"]), 64, "\"msgstream streams\" lists the streams");
    let (code, shown) = Terminal::start(broker.command(&["top"]).env("TERM", "dumb"), 10, 100).end();
    assert!(code == Some(64) && shown.contains("\"msgstream streams\""), "{shown}");
}

#[test]
fn colours_are_left_out_if_nobody_wants_them() {
    let broker = Broker::start();
    broker.ok(&["header", "job", &join(4)]);
    for (value, colour) in [("", Some(2)), ("1", None)] {
        let terminal = Terminal::start(broker.command(&["top"]).env("NO_COLOR", value), 10, 80);
        let shown = terminal.until(|shown| has(shown, "job", &["running", "40%"]));
        assert_eq!((shown.colour_of("running"), shown.colour_of("████")), (colour, colour), "{shown}");
    }
}

#[test]
fn without_a_broker_top_does_not_begin() {
    let mut broker = Broker::start();
    broker.stop();
    let (code, shown) = Terminal::start(&broker.command(&["top"]), 10, 100).end();
    assert!(code == Some(69) && shown.contains("cannot connect to"), "{shown}");
}
