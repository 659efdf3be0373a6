//! health.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::certificates::{Authority, replace};
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

/// Whatever it waits for: a handshake that does not come has no limit of its own beside that of the whole.
#[test]
fn one_that_takes_the_connection_and_does_not_shake_hands_has_not_answered() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("health-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("ca.pem"), Authority::new().pem()).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tls://{}", silent.local_addr().unwrap());
    let mut health = program(&["health", "--timeout", "200ms", "--server", &address, "--ca"]);
    health.arg(folder.join("ca.pem"));
    ends_with(health, 124, &format!("{address} has not answered within 200ms"));
    fs::remove_dir_all(folder).unwrap();
}

/// A certificate from the configuration goes with the key from there, although variables for both are there.
#[test]
fn an_empty_variable_leaves_the_certificate_of_the_configuration_its_key() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("certificate-{}", std::process::id()));
    fs::create_dir_all(folder.join("msgstream")).unwrap();
    let authority = Authority::new();
    replace(&folder.join("ca.pem"), &authority.pem());
    let (server, client) = (authority.local().write(&folder, "broker"), authority.for_client("me").write(&folder, "me"));
    let mut serve = program(&["serve", "--listen", "tls://127.0.0.1:0"]);
    serve.env("MSGSTREAM_TLS__CERTIFICATE", &server.certificate).env("MSGSTREAM_TLS__KEY", &server.key);
    serve.env("MSGSTREAM_TLS__CLIENT_CA", folder.join("ca.pem")).env("MSGSTREAM_TLS__CLIENT_CERTIFICATES", "required");
    let broker = Broker::serve(serve);
    let file = |name: &str| folder.join(name).display().to_string();
    let text = format!(
        "server = '{}'\nca = '{}'\ncertificate = '{}'\nkey = '{}'\n",
        broker.address,
        file("ca.pem"),
        client.certificate.display(),
        client.key.display()
    );
    fs::write(folder.join("msgstream/client.toml"), text).unwrap();
    let health = |certificate: &str, key: &str| {
        let mut health = program(&["health", "--timeout", "60s"]);
        health.env("XDG_CONFIG_HOME", &folder).env("MSGSTREAM_CERTIFICATE", certificate).env("MSGSTREAM_KEY", key);
        health
    };
    ends_with(health("", ""), 0, "");
    // Another certificate has another key: it is not looked for in the configuration.
    ends_with(health(&file("me.pem"), ""), 78, "me.pem (--key): there is no private key in it");
    ends_with(health(&file("me.pem"), &file("me-key.pem")), 0, "");
    fs::remove_dir_all(folder).unwrap();
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
    // It is alive, which is what a probe asks.
    ends_with(broker.command(&["health"]), 77, "the most allowed (limits.connections)");
    // A supervisor may try again, since there may be room by then.
    for command in
        [&["put", "s", "1"][..], &["get", "s"], &["header", "s", "1"], &["listen", "s"], &["wait", "s"], &["streams"], &["delete", "s"]]
    {
        ends_with(broker.command(command), 69, "the most allowed (limits.connections)");
    }
    drop(listening);
}

/// It would not hear them sooner if it were restarted.
#[test]
fn a_node_that_does_not_hear_the_others_is_alive() {
    let mut serve = program(&["serve", "--listen", "127.0.0.1:0", "--nats", "nats://127.0.0.1:1"]);
    serve.env("MSGSTREAM_NODES__LEASE", "3s");
    let broker = Broker::serve(serve);
    let end = Instant::now() + Duration::from_secs(30);
    while broker.output(&["health"]).status.code() == Some(0) {
        assert!(Instant::now() < end, "it goes on taking clients");
    }
    ends_with(broker.command(&["health"]), 77, "this node does not hear the others");
    ends_with(broker.command(&["put", "s", "1"]), 69, "this node does not hear the others");
}

#[test]
fn its_time_limit_is_checked() {
    ends_with(program(&["health", "--timeout", "0s"]), 64, "a time limit of 0 is too short");
    ends_with(program(&["health", "--timeout", "soon"]), 64, "soon");
}
