//! health.

use std::net::TcpListener;

use crate::{Broker, program, text};

#[track_caller]
fn ends_with(mut command: std::process::Command, code: i32, part: &str) {
    let output = command.output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(part), "{part:?} is not in: {said}");
}

#[test]
fn a_broker_that_answers_is_healthy_over_each_transport() {
    let unix = format!("unix:{}/msgstream-health-{}", std::env::temp_dir().display(), std::process::id());
    for address in ["127.0.0.1:0", &unix] {
        let broker = Broker::start_at(address);
        let said = broker.ok(&["health", "--timeout", "60s"]);
        assert!(said.starts_with(&format!("{} answers, after ", broker.address)), "{said}");
        assert!(said.ends_with(" ms\n"), "{said}");
    }
}

#[test]
fn nobody_there_and_nobody_that_answers_are_told_apart() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    // The system takes the connection, and nobody answers.
    ends_with(program(&["health", "--timeout", "200ms", "--server", &address]), 124, &format!("{address} has not answered within 200ms"));
    drop(silent);
    ends_with(program(&["health", "--server", &address]), 69, "start a broker there");
}

/// As in a unit or a compose file, which cannot take a variable back otherwise.
#[test]
fn an_empty_variable_counts_as_unset() {
    let broker = Broker::start_at("127.0.0.1:0");
    let mut health = program(&["health", "--server", &broker.address]);
    for name in ["MSGSTREAM_SERVER", "MSGSTREAM_TOKEN", "MSGSTREAM_CA", "MSGSTREAM_CERTIFICATE", "MSGSTREAM_KEY"] {
        health.env(name, "");
    }
    assert!(health.status().unwrap().success());
}

#[test]
fn a_broker_that_has_no_room_says_so() {
    let mut serve = program(&["serve", "--listen", "127.0.0.1:0"]);
    serve.env("MSGSTREAM_LIMITS__CONNECTIONS", "1");
    let broker = Broker::serve(serve);
    let listening = broker.listen(&["s"]);
    ends_with(broker.command(&["health"]), 77, "the most allowed (limits.connections)");
    drop(listening);
}

#[test]
fn its_time_limit_is_checked() {
    ends_with(program(&["health", "--timeout", "0s"]), 64, "a time limit of 0 is too short");
    ends_with(program(&["health", "--timeout", "soon"]), 64, "soon");
}
