//! Streams that have not begun, and brokers that go and come, on a terminal.

use crate::screen::Terminal;
use crate::{Broker, ago, object};

#[test]
fn who_waits_for_a_stream_is_told_so() {
    let broker = Broker::start();
    let terminal = Terminal::new(&broker, &["listen", "one", "other"]);
    terminal.until_shown("waiting for one, other");
    broker.ok(&["put", "one", "1"]);
    terminal.until_shown("one: 1");
    terminal.until(|shown| shown.screen.contains(&"waiting for other".to_owned()));
    broker.ok(&["close", "one"]);
    broker.ok(&["close", "other"]);
    let (_, shown) = terminal.end();
    assert!(!shown.contains("waiting"), "{shown}");
}

/// Bars stand still while the broker is away, and go on with its return.
#[test]
fn a_broker_that_goes_and_comes_is_told() {
    let mut broker = Broker::start();
    let join = object("Join", &format!(r#"{{"k":1,"total":4,"started":"{}"}}"#, ago(3600)));
    broker.ok(&["header", "job", &join]);
    let terminal = Terminal::new(&broker, &["listen", "job", "other", "--reconnect"]);
    terminal.until(|shown| shown.contains("1/4 [1:0") && shown.contains("waiting for other"));
    broker.stop();
    let shown = terminal.until_shown("no news");
    assert!(shown.contains(&format!("the broker at {} is away: ", broker.address)), "{shown}");
    broker.start_again();
    terminal.until_shown("connected; messages from before may be missing");
    broker.until_joined("other");
    broker.ok(&["put", "other", "\"here again\""]);
    // This broker has not heard of the job yet.
    terminal.until(|shown| shown.contains("other: here again") && shown.contains("no news"));
    broker.ok(&["put", "job", &join]);
    terminal.until(|shown| !shown.contains("no news"));
    broker.ok(&["close", "other"]);
    broker.ok(&["close", "job", &object("Complete", "{}")]);
    let (code, shown) = terminal.end();
    assert_eq!(shown.lines().filter(|line| line.contains("is away")).count(), 1, "once: {shown}");
    assert!(code == Some(0) && shown.contains("job: done in 1 h"), "{shown}");
}

/// That is told once, however many streams there are, and what was seen last stays.
#[test]
fn a_broker_that_is_lost_for_good_is_told_once() {
    let mut broker = Broker::start();
    for name in ["a", "b", "c"] {
        broker.ok(&["header", name, r#"{"k":1,"total":4}"#]);
    }
    let terminal = Terminal::new(&broker, &["listen", "a", "b", "c"]);
    terminal.until(|shown| shown.lines().filter(|line| line.contains(" 1/4")).count() == 3);
    broker.stop();
    let (code, shown) = terminal.end();
    let count = |text: &str| shown.lines().filter(|line| line.contains(text)).count();
    let all = shown.lines().filter(|line| !line.is_empty()).count();
    assert_eq!((code, count("lost"), count(" 1/4 no news"), all), (Some(69), 1, 3, 4), "{shown}");
}

#[test]
fn a_broker_that_is_not_there_yet_is_waited_for() {
    let mut broker = Broker::start();
    broker.stop();
    let terminal = Terminal::new(&broker, &["listen", "job", "--reconnect"]);
    terminal.until_shown("is away: ");
    broker.start_again();
    broker.ok(&["close", "job", &object("Error", r#"{"reason":"no data"}"#)]);
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("failed: no data"), "{shown}");
}
