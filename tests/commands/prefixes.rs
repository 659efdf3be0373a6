//! listen --prefix: all streams whose names begin so.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::{Broker, Listening, assert_fails, object};

/// Starts `listen` and reads its first line, which a stream that there is gives.
fn listen(broker: &Broker, arguments: &[&str]) -> (Listening, String) {
    let arguments: Vec<&str> = ["listen"].into_iter().chain(arguments.iter().copied()).collect();
    let mut child = broker.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    (Listening { child, lines }, first.trim_end().to_owned())
}

fn put(stream: &str, message: &str) -> String {
    format!("{{\"action\":\"put\",\"stream\":\"{stream}\",\"message\":{message}}}")
}

#[test]
fn all_streams_of_a_prefix_are_shown_as_they_come_and_go() {
    let broker = Broker::start();
    broker.ok(&["header", "fit-1", "1"]);
    broker.ok(&["header", "other", "0"]);
    let (mut listening, first) = listen(&broker, &["--prefix", "fit-", "--count", "6"]);
    assert_eq!(first, put("fit-1", "1"));
    broker.ok(&["put", "fit-2", "2"]);
    assert_eq!(listening.line(), put("fit-2", "2"));
    broker.ok(&["put", "other", "3"]);
    broker.ok(&["close", "fit-1", "4"]);
    assert_eq!(listening.line(), "{\"action\":\"close\",\"stream\":\"fit-1\",\"message\":4}");
    broker.ok(&["close", "fit-2"]);
    assert_eq!(listening.line(), "{\"action\":\"close\",\"stream\":\"fit-2\"}");
    // All have ended, and it goes on: with the next run of one, and with a job that fails.
    broker.ok(&["header", "fit-1", "5"]);
    assert_eq!(listening.line(), put("fit-1", "5"));
    let failed = object("Error", r#"{"reason":"no"}"#);
    broker.ok(&["put", "fit-3", &failed]);
    assert_eq!(listening.line(), put("fit-3", &failed));
    for message in ["6", "7"] {
        broker.ok(&["put", "fit-1", message]);
    }
    let (code, rest, said) = listening.end();
    assert_eq!((code, &*rest, &*said), (Some(1), &*format!("{}\n{}\n", put("fit-1", "6"), put("fit-1", "7")), ""));
}

#[test]
fn lines_of_text_name_their_streams() {
    let broker = Broker::start();
    broker.ok(&["put", "fit-1", "\"one\""]);
    broker.ok(&["put", "fit-1", "\"other\""]);
    let (listening, first) = listen(&broker, &["--prefix", "", "--plain", "--last", "1", "--count", "2"]);
    assert_eq!(first, "fit-1: other");
    broker.ok(&["put", "fit-2", "\"two\""]);
    assert_eq!(listening.end(), (Some(0), "fit-2: two\n".to_owned(), String::new()));
    // What has been is over; the newest is what waits.
    let (listening, first) = listen(&broker, &["--prefix", "fit-1", "--latest", "--last", "9", "--count", "1"]);
    assert_eq!(first, "{\"action\":\"skipped\",\"stream\":\"fit-1\",\"messages\":1}");
    assert_eq!(listening.end(), (Some(0), format!("{}\n", put("fit-1", "\"other\"")), String::new()));
}

#[test]
fn a_prefix_goes_on_until_it_is_told_to_stop() {
    let mut broker = Broker::start();
    broker.ok(&["close", "fit-1"]);
    assert_fails(&broker.output(&["listen", "--prefix", "fit-", "--timeout", "50ms"]), 124, "streams that begin with \"fit-\" may go on");
    let (listening, _) = listen(&broker, &["--prefix", "fit-"]);
    interrupt(&listening.child);
    // By the signal itself, which a shell shows as 130.
    assert_eq!(listening.end().0, None);
    let (listening, _) = listen(&broker, &["--prefix", "fit-"]);
    broker.stop();
    let (code, _, said) = listening.end();
    assert!(code == Some(69) && said.contains("the connection to the broker was lost"), "{code:?} {said}");
}

fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

/// The broker is killed and comes back: those that are gone have ended, and new ones are shown from their beginning.
#[test]
fn a_prefix_is_followed_over_a_broker_that_comes_back() {
    let mut broker = Broker::start();
    broker.ok(&["header", "fit-1", "1"]);
    let (mut listening, _) = listen(&broker, &["--prefix", "fit-", "--reconnect", "--count", "2"]);
    broker.stop();
    broker.start_again();
    assert_eq!(listening.line(), "{\"action\":\"close\",\"stream\":\"fit-1\"}");
    broker.ok(&["put", "fit-2", "2"]);
    let (code, rest, said) = listening.end();
    assert_eq!((code, rest), (Some(0), format!("{}\n", put("fit-2", "2"))));
    assert!(said.contains("\"fit-1\": connected again, messages may be missing here"), "{said}");
}

#[test]
fn a_prefix_stands_alone() {
    let broker = Broker::start();
    for arguments in [&["listen", "--prefix", "fit-", "fit-1"][..], &["listen", "--prefix", "fit-", "--next"]] {
        assert_fails(&broker.output(arguments), 64, "cannot be used with");
    }
    assert_fails(&broker.output(&["listen"]), 64, "required");
    assert_fails(&broker.output(&["listen", "--prefix", &"x".repeat(2000)]), 77, "was cut off");
}
