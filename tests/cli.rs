//! The program as its user meets it: help, exit codes, signals, the port file.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap in a test is a failed test")]

mod started;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use started::Started;

/// The program, with an environment that holds nothing of ours.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_msgstream"));
    let ours = std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("MSGSTREAM_"));
    ours.for_each(|name| {
        command.env_remove(name);
    });
    command.args(arguments).stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> Output {
    program(arguments).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

fn assert_fails(arguments: &[&str], code: i32, part: &str) {
    let output = output(arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.contains(part), "{part:?} is not in: {said}");
}

/// A path that no other test uses.
fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()))
}

/// A broker.
fn serve(arguments: &[&str]) -> Started {
    Started::start(program(&["serve"]).args(arguments))
}

#[test]
fn the_help_has_every_flag_and_every_exit_code() {
    let help = output(&["serve", "--help"]);
    assert_eq!(help.status.code(), Some(0));
    let help = text(&help.stdout);
    for flag in ["--listen", "--nats", "--config", "--port-file", "--log-format", "--log-level", "--workers", "--check", "--help"] {
        assert!(help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")), "{flag} is not in: {help}");
    }
    for code in ["   0  ", "  64  ", "  69  ", "  70  ", "  74  ", "  78  ", "[default: 127.0.0.1:7342]"] {
        assert!(help.replace("\n          ", " ").contains(code), "{code} is not in: {help}");
    }
    assert!(text(&output(&["--help"]).stdout).contains("Examples:"));
    assert_eq!(text(&output(&["-V"]).stdout), concat!("msgstream ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn help_fits_a_terminal_of_100_columns() {
    for arguments in [&["--help"][..], &["serve", "--help"], &["serve", "-h"]] {
        let help = output(arguments);
        let longest = text(&help.stdout).lines().max_by_key(|line| line.chars().count()).unwrap_or_default();
        assert!(longest.chars().count() <= 100, "{arguments:?}: {longest}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_exits_with_64() {
    assert_fails(&[], 64, "Usage: msgstream <COMMAND>");
    assert_fails(&["sreve"], 64, "a similar subcommand exists: 'serve'");
    assert_fails(&["serve", "--lisen", "a:1"], 64, "'--listen'");
    assert_fails(&["serve", "--listen", ":7342"], 64, "the host is missing");
    assert_fails(&["serve", "--log-level", "loud"], 64, "[possible values: off, error, warn, info, debug, trace]");
    assert_fails(&["serve", "--workers", "many"], 64, "--workers <N>");
}

#[test]
fn a_configuration_that_cannot_be_used_exits_with_78() {
    assert_fails(&["serve", "--check", "--workers", "0"], 78, "runtime.workers = 0 (from --workers)");
    assert_fails(&["serve", "--config", "/nonesuch"], 78, "cannot read the configuration file /nonesuch");
    let output = output(&["serve", "--config", "/nonesuch"]);
    assert_eq!(text(&output.stderr).matches("No such file").count(), 1, "a cause is said once");
    let file = scratch("bad.toml");
    fs::write(&file, "[outbox]\nlimt = 1").unwrap();
    assert_fails(&["serve", "--check", "--config", file.to_str().unwrap()], 78, "did you mean \"outbox.limit\"?");

    let output = program(&["serve", "--check"]).env("MSGSTREAM_OUTBOX__LIMIT", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("(from MSGSTREAM_OUTBOX__LIMIT)"));
}

// Seen to fail when the command line's own parser refused the address, and repeated it.
#[test]
fn a_secret_in_the_place_of_a_setting_is_not_shown() {
    for arguments in [&["check", "--listen", "mst_secret:x"][..], &["check", "--config", "mst_secret"]] {
        let output = program(&["config"]).args(arguments).output().unwrap();
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(78) && !said.contains("secret") && said.contains("there is a token or a key"), "{said}");
    }
    let shown =
        program(&["config", "show", "--changed"]).env("MSGSTREAM_TLS__KEY", "-----BEGIN PRIVATE KEY-----\nsecret").output().unwrap();
    assert!(text(&shown.stdout).contains("key = ") && !text(&shown.stdout).contains("secret"), "{}", text(&shown.stdout));
}

#[test]
fn a_password_of_nats_is_not_shown() {
    for arguments in [&["show"][..], &["check"], &["check", "--nats", "nats://me:secret@h,x"], &["check", "--listen", "nats://me:secret@h"]]
    {
        let output = program(&["config"]).args(arguments).env("MSGSTREAM_NODES__NATS", "nats://me:secret@h:4222").output().unwrap();
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(78) && said.contains("...@h") && !said.contains("secret"), "{said}");
    }
    let shown = program(&["config", "show", "--changed"]).env("MSGSTREAM_TLS__KEY", "nats://me:secret@h").output().unwrap();
    assert!(text(&shown.stdout).contains("key = \"nats://...@h\"") && !text(&shown.stdout).contains("secret"), "{}", text(&shown.stdout));
}

/// Whatever the library has to say, at any level: the broker says the same in its own words.
#[test]
fn a_password_of_nats_is_not_in_the_log() {
    let credentials = scratch("nats.credentials");
    fs::write(&credentials, "me:secret\n").unwrap();
    let nats = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("nats://{}", nats.local_addr().unwrap());
    let mut broker = Started::start(
        program(&["serve", "--listen", "127.0.0.1:0", "--nats", &address, "--log-level", "trace"])
            .env("MSGSTREAM_NODES__CREDENTIALS", &credentials),
    );
    let (mut connection, _) = nats.accept().unwrap();
    connection.write_all(b"INFO {\"server_id\":\"a\",\"version\":\"2.10.0\",\"max_payload\":1048576,\"headers\":true}\r\n").unwrap();
    let mut line = String::new();
    BufReader::new(&connection).read_line(&mut line).unwrap();
    assert!(line.starts_with("CONNECT ") && line.contains("\"pass\":\"secret\""), "{line}");
    drop((connection, nats));
    let mut log = String::new();
    while !log.contains("no way to NATS") {
        log += &broker.wait_for("\n");
    }
    broker.signal(Signal::TERM);
    let (code, rest) = broker.end();
    assert!(code == Some(0) && !log.contains("secret") && !log.contains("async_nats") && !rest.contains("secret"), "{log}{rest}");
    fs::remove_file(credentials).unwrap();
}

/// Each file is looked at, whatever is wrong with the others.
#[test]
fn all_files_that_cannot_be_used_are_named_at_once() {
    let tokens = scratch("tokens.toml");
    fs::write(&tokens, "[a]\nunix_user = 1\npublsh = ['x']\n").unwrap();
    for arguments in [&["config", "check"][..], &["serve", "--check"]] {
        let mut check = program(arguments);
        check.args(["--listen", "tls://127.0.0.1:0"]).env("MSGSTREAM_AUTH__TOKENS", &tokens);
        check.env("MSGSTREAM_TLS__CERTIFICATE", "/nonexistent/broker.pem").env("MSGSTREAM_TLS__KEY", "/nonexistent/broker-key.pem");
        check.env("MSGSTREAM_NODES__NATS", "nats://a").env("MSGSTREAM_NODES__CREDENTIALS", "/nonexistent/nats.creds");
        check.env("MSGSTREAM_NODES__CA", "/nonexistent/nats-ca.pem");
        check.env("MSGSTREAM_NODES__CERTIFICATE", "/nonexistent/node.pem").env("MSGSTREAM_NODES__KEY", "/nonexistent/node-key.pem");
        check.env("MSGSTREAM_TLS__CLIENT_CA", "/nonexistent/ca.pem").env("MSGSTREAM_TLS__CLIENT_CERTIFICATES", "required");
        let output = check.output().unwrap();
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(78), ""), "{said}");
        for part in [
            "\n  cannot use /nonexistent/broker.pem (tls.certificate): No such file",
            "\n  cannot use /nonexistent/broker-key.pem (tls.key): No such file",
            "\n  cannot use /nonexistent/ca.pem (tls.client_ca): No such file",
            "\n  cannot use /nonexistent/nats.creds (nodes.credentials): No such file",
            "\n  cannot use /nonexistent/nats-ca.pem (nodes.ca): No such file",
            "\n  cannot use /nonexistent/node.pem (nodes.certificate): No such file",
            "\n  cannot use /nonexistent/node-key.pem (nodes.key): No such file",
            &format!("\n  the tokens in {} cannot be used: line 3: ", tokens.display()),
            "\n    [fit-jobs]\n",
        ] {
            assert!(said.contains(part), "{part:?} is not in: {said}");
        }
    }
    // One alone is told without a list.
    let alone = program(&["config", "check"]).env("MSGSTREAM_AUTH__TOKENS", &tokens).output().unwrap();
    assert!(text(&alone.stderr).starts_with("msgstream: the tokens in "), "{}", text(&alone.stderr));
    fs::remove_file(tokens).unwrap();
}

/// Whoever looks for it in a log finds all of it at one place.
#[test]
fn tokens_that_cannot_be_used_any_more_are_logged_in_one_line() {
    let tokens = scratch("changing.toml");
    fs::write(&tokens, "[a]\nunix_user = 1\n").unwrap();
    let mut broker = Started::start(program(&["serve", "--listen", "127.0.0.1:0"]).env("MSGSTREAM_AUTH__TOKENS", &tokens));
    broker.wait_for("listening");
    fs::write(&tokens, "[a]\nunix_user = 1\npublsh = ['x']\n").unwrap();
    let line = broker.wait_for("tokens not read again");
    assert!(line.contains("line 3: ") && line.contains("publsh") && line.contains("listen = ["), "{line}");
    broker.signal(Signal::HUP);
    let line = broker.wait_for("the tokens are not reloaded");
    assert!(line.contains("line 3: ") && line.contains("listen = [") && !line.contains("\\n"), "{line}");
    broker.signal(Signal::TERM);
    assert_eq!(broker.end().0, Some(0));
    fs::remove_file(tokens).unwrap();
}

#[test]
fn check_prints_the_addresses_that_count() {
    let output = program(&["serve", "--check", "--config", "config/msgstream.toml"])
        .env("MSGSTREAM_LISTEN", "127.0.0.1:9,unix:/tmp/s")
        .env("MSGSTREAM_PORT", "tcp://10.0.0.1:7342")
        .output()
        .unwrap();
    assert_eq!((output.status.code(), text(&output.stdout), text(&output.stderr)), (Some(0), "ok\n  127.0.0.1:9\n  unix:/tmp/s\n", ""));
}

#[test]
fn an_address_that_is_taken_exits_with_69_and_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_fails(&["serve", "--listen", &address], 69, &format!("cannot listen on {address}: Address already in use"));
}

#[test]
fn a_port_file_that_cannot_be_written_exits_with_74() {
    assert_fails(&["serve", "--listen", "127.0.0.1:0", "--port-file", "/nonesuch/port"], 74, "cannot write the port file /nonesuch/port");
}

#[test]
fn the_port_file_stands_while_the_broker_listens() {
    let file = scratch("ports");
    // Not in the scratch directory, whose path may be longer than a socket's may be.
    let socket = format!("unix:{}/msgstream-test-{}", std::env::temp_dir().display(), std::process::id());
    let listen = ["--listen", "127.0.0.1:0", "--listen", &socket, "--listen", "127.0.0.1:0"];
    let mut broker = serve(&[&listen[..], &["--port-file", file.to_str().unwrap(), "--log-level", "debug"]].concat());
    broker.wait_for("ready");
    let ports: Vec<u16> = fs::read_to_string(&file).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(ports.len(), 2);
    for port in ports {
        TcpStream::connect(("127.0.0.1", port)).expect("the port is listened on");
    }
    broker.signal(Signal::TERM);
    let (code, log) = broker.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(!file.exists());
}

#[test]
fn sigterm_and_sigint_end_it_and_sighup_does_not() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let mut broker = serve(&["--listen", "127.0.0.1:0"]);
        broker.wait_for("listening");
        broker.signal(Signal::HUP);
        broker.wait_for("configuration reloaded");
        broker.signal(signal);
        // By this signal, not by the one before.
        assert!(broker.wait_for("asked to stop").contains(name));
        let (code, log) = broker.end();
        assert_eq!(code, Some(0), "{log}");
    }
}

#[test]
fn sighup_changes_what_can_be_changed_and_says_what_cannot() {
    let file = scratch("reloaded.toml");
    let write = |text: &str| fs::write(&file, text).unwrap();
    write("");
    let mut broker = serve(&["--listen", "127.0.0.1:0", "--config", file.to_str().unwrap()]);
    let line = broker.wait_for("listening");
    let address = line.rsplit('=').next().unwrap().trim().to_owned();
    let ask = |count: usize, last: &str| {
        let mut client = TcpStream::connect(&address).unwrap();
        for stream in 0..count {
            writeln!(client, r#"{{"action":"header","stream":"{stream}","message":0}}"#).unwrap();
        }
        writeln!(client, r#"{{"action":"close"}}"#).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(last), "{answer}");
    };

    write("[limits]\nstreams = 2\n[outbox]\nlimit = \"32MiB\"\n[log]\nlevel = \"debug\"");
    broker.signal(Signal::HUP);
    let line = broker.wait_for("configuration reloaded");
    assert!(line.contains("limits.streams = 2") && line.contains("log.level = \\\"debug\\\"") && !line.contains("outbox"), "{line}");
    assert!(broker.wait_for("need a restart").contains("outbox.limit"));
    ask(3, "limits.streams");
    broker.wait_for("connected");

    // One that cannot be used changes nothing, and everything that is wrong is said.
    write("[limits]\nstreams = 9\nline = \"a lot\"\nheder = 1");
    broker.signal(Signal::HUP);
    let (first, second) = (broker.wait_for("stays as it was"), broker.wait_for("stays as it was"));
    assert!(first.contains("limits.header") && second.contains("limits.line"), "{first}{second}");
    ask(3, "limits.streams");
    // Nor does one that would not fit to what needs a restart.
    write("[limits]\nstreams = 9\nline = \"100MiB\"\n[outbox]\nlimit = \"200MiB\"");
    broker.signal(Signal::HUP);
    assert!(broker.wait_for("stays as it was").contains("or restart"));
    fs::remove_file(&file).unwrap();
    broker.signal(Signal::HUP);
    assert!(broker.wait_for("stays as it was").contains("cannot read"));
    ask(3, "limits.streams");

    write("[limits]\nconnections = 1");
    broker.signal(Signal::HUP);
    broker.wait_for("configuration reloaded");
    let _only = TcpStream::connect(&address).unwrap();
    ask(0, "limits.connections");
    broker.signal(Signal::TERM);
    assert_eq!(broker.end().0, Some(0));
}

#[test]
fn config_show_says_what_counts_and_where_it_comes_from() {
    let file = scratch("shown.toml");
    fs::write(&file, "[limits]\nstreams = 1_000\n[outbox]\nlimit = \"32MiB\"").unwrap();
    let show = |more: &[&str]| {
        let arguments = ["config", "show", "--config", file.to_str().unwrap(), "--log-level", "warn"];
        let output = program(&[&arguments[..], more].concat()).env("MSGSTREAM_OUTBOX__LIMIT", "128MiB").output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
        text(&output.stdout).to_owned()
    };
    let changed = show(&["--changed"]);
    let name = file.display();
    let expected = format!(
        "[log]\n{:<30} # from --log-level\n\n[limits]\n{:<30} # in {name}\n\n[outbox]\n{:<30} # from MSGSTREAM_OUTBOX__LIMIT\n",
        "level = \"warn\"", "streams = 1000", "limit = \"128MiB\""
    );
    assert_eq!(changed, expected);
    let json: serde_json::Value = serde_json::from_str(&show(&["--json"])).unwrap();
    assert_eq!(json["limits.streams"]["value"], 1000);
    assert_eq!(json["limits.line"], serde_json::json!({"value": "16MiB", "origin": "by default"}));

    // What is printed is a configuration file of the same values.
    fs::write(&file, show(&[])).unwrap();
    let again = text(&output(&["config", "show", "--json", "--config", file.to_str().unwrap()]).stdout).to_owned();
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    let values = |json: &serde_json::Value| {
        json.as_object().unwrap().iter().map(|(key, setting)| (key.clone(), setting["value"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(values(&again), values(&json));
    assert!(again.as_object().unwrap().values().all(|setting| setting["origin"] == format!("in {name}")));
    assert_fails(&["config", "check", "--workers", "0"], 78, "runtime.workers = 0 (from --workers)");
    assert_eq!(text(&output(&["config", "check"]).stdout), "ok\n  127.0.0.1:7342\n");
}

#[test]
fn the_log_says_where_it_listens_as_text_or_json() {
    let mut broker = serve(&["--listen", "127.0.0.1:0", "--workers", "2"]);
    let line = broker.wait_for("listening");
    assert!(line.contains(" INFO listening address=127.0.0.1:"), "{line}");
    assert!(!line.contains('\u{1b}'), "no colours into a pipe: {line}");

    let mut broker = serve(&["--listen", "127.0.0.1:0", "--log-format", "json"]);
    let line = broker.wait_for("listening");
    let event: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&event["level"], &event["message"]), (&"INFO".into(), &"listening".into()));
    assert!(event["address"].as_str().is_some_and(|address| address.starts_with("127.0.0.1:")), "{line}");
}

#[test]
fn an_open_address_is_warned_of() {
    let mut broker = Started::start(program(&["serve", "--listen", "0.0.0.0:0"]).env("MSGSTREAM_AUTH__ALLOW_ANONYMOUS", "true"));
    let warned = broker.wait_for("WARN");
    assert!(warned.contains("can read and write every stream") && warned.contains("0.0.0.0:"), "{warned}");
    broker.signal(Signal::TERM);
    broker.end();
    let mut broker = serve(&["--listen", "127.0.0.1:0"]);
    broker.wait_for("listening");
    broker.signal(Signal::TERM);
    let (_, said) = broker.end();
    assert!(!said.contains("WARN"), "{said}");
}

/// Each mistake is told to its client; the log has some of them at debug, and how many there were at info.
#[test]
fn mistakes_of_clients_are_in_the_log() {
    let mistakes = 100;
    for (level, one_by_one) in [("debug", 1..=mistakes / 2), ("info", 0..=0)] {
        let mut broker = serve(&["--listen", "127.0.0.1:0", "--log-level", level]);
        let line = broker.wait_for("listening");
        let mut client = TcpStream::connect(line.split_once("address=").unwrap().1.trim()).unwrap();
        let mut answers = BufReader::new(client.try_clone().unwrap());
        let mut answer = String::new();
        for number in 0..mistakes {
            // A good line, so that there are never too many in a row.
            write!(client, "not JSON {number}\n{{\"action\":\"ping\"}}\n").unwrap();
            answer.clear();
            answers.read_line(&mut answer).unwrap();
            assert!(answer.contains("bad_json"), "{answer}");
            answers.read_line(&mut answer).unwrap();
        }
        drop((client, answers));
        broker.signal(Signal::TERM);
        let (_, said) = broker.end();
        let refused: Vec<_> = said.lines().filter(|line| line.contains("line refused")).collect();
        assert!(one_by_one.contains(&refused.len()), "{} lines for {mistakes} mistakes: {said}", refused.len());
        assert!(refused.iter().all(|line| line.contains("peer=") && line.contains("bad_json") && line.contains("reason=")), "{refused:?}");
        let sum = said.lines().find(|line| line.contains("lines of clients were refused")).unwrap();
        assert!(sum.contains("INFO") && sum.contains(&format!("count={mistakes}")), "{sum}");
    }
}
