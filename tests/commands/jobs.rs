//! wait, with its exit codes.

use std::process::Stdio;

use crate::{Broker, assert_fails, object};

#[test]
fn wait_tells_by_its_exit_code_how_the_job_ended() {
    let mut broker = Broker::start();
    for (class, state, code) in [("Complete", "{}", 0), ("Error", r#"{"reason":"no data"}"#, 1), ("Abort", r#"{"reason":"asked"}"#, 2)] {
        // In the header, which is how it stands for who comes late; and as the last message.
        broker.ok(&["header", "job", &object(class, state)]);
        assert_eq!(broker.output(&["wait", "job"]).status.code(), Some(code), "{class}");
        broker.ok(&["delete", "job"]);
        broker.ok(&["close", "job", &object(class, state)]);
        assert_eq!(broker.output(&["wait", "job"]).status.code(), Some(code), "{class}");
        broker.ok(&["delete", "job"]);
    }
    broker.ok(&["close", "job"]);
    broker.ok(&["wait", "job"]);
    let late = broker.output(&["wait", "other", "--timeout", "1ms"]);
    assert_fails(&late, 124, "msgstream: \"other\" (");
    assert_fails(&late, 124, ") has not ended after 1ms");

    // While it waits: a message in between is none of its business.
    let waiting = broker.command(&["wait", "other"]).stderr(Stdio::piped()).spawn().unwrap();
    broker.until_joined("other");
    broker.ok(&["put", "other", &object("Progress", r#"{"k":1}"#)]);
    broker.ok(&["put", "other", &object("Abort", "{}")]);
    assert_fails(&waiting.wait_with_output().unwrap(), 2, "other: aborted");

    let waiting = broker.command(&["wait", "other"]).stderr(Stdio::piped()).spawn().unwrap();
    broker.until_joined("other");
    broker.child.kill().unwrap();
    assert_fails(&waiting.wait_with_output().unwrap(), 69, "the connection to the broker was lost");
}
