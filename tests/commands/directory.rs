//! streams: which streams there are.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use crate::{Broker, assert_fails, object, text};

fn json(broker: &Broker) -> Vec<Value> {
    broker.ok(&["streams", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn streams_are_listed_with_how_they_stand() {
    let broker = Broker::start();
    let nothing = broker.output(&["streams"]);
    assert_eq!((nothing.status.code(), text(&nothing.stdout), text(&nothing.stderr)), (Some(0), "", "msgstream: there are no streams\n"));
    broker.ok(&["header", "fit-1", &object("Join", r#"{"title":"decay","k":37,"total":200,"units":"steps"}"#)]);
    broker.ok(&["put", "fit-1", "1"]);
    broker.ok(&["header", "fit-2", &object("Join", r#"{"title":"a job"}"#)]);
    broker.ok(&["close", "fit-2", &object("Lost", "{}")]);
    broker.ok(&["header", "other", "1"]);

    let listed = broker.ok(&["streams", "fit-"]);
    let rows: Vec<Vec<&str>> = listed.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 2, "{listed}");
    let row = |name: &str| rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("{listed}"));
    // How long each has been quiet differs.
    assert_eq!((&row("fit-1")[..4], &row("fit-1")[6..]), (&["fit-1", "running", "0", "1"][..], &["37/200", "steps", "decay"][..]));
    assert_eq!(row("fit-2")[..4], ["fit-2", "lost", "0", "0"]);

    let all = json(&broker);
    let names: Vec<&str> = all.iter().map(|stream| stream["stream"].as_str().unwrap()).collect();
    assert_eq!(names, ["fit-1", "fit-2", "other"]);
    assert_eq!((&all[1]["state"], &all[1]["last"][".class"], &all[2]["header"]), (&"ended".into(), &"monitor.Lost".into(), &1.into()));

    let none = broker.output(&["streams", "nothing-"]);
    assert_eq!((none.status.code(), text(&none.stderr)), (Some(0), "msgstream: no stream begins with \"nothing-\"\n"));
}

/// Whoever asks does not listen.
#[test]
fn who_lists_the_streams_is_none_of_their_listeners() {
    let broker = Broker::start();
    broker.ok(&["header", "job", "1"]);
    for _ in 0..2 {
        assert_eq!(json(&broker)[0]["listeners"], 0);
    }
}

#[test]
fn without_a_broker_there_is_no_list() {
    let mut broker = Broker::start();
    broker.stop();
    assert_fails(&broker.output(&["streams"]), 69, "cannot connect to");
}

// Seen to fail: it went on for ever, and nobody read it.
#[test]
fn streams_ends_once_nobody_reads_what_it_shows() {
    let broker = Broker::start();
    broker.ok(&["header", "job", "1"]);
    for more in [&[][..], &["--json"]] {
        let mut child = broker.command(&["streams", "--watch"]).args(more).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0]).unwrap();
        drop(out);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{more:?}");
    }
}
