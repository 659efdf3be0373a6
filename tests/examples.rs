//! The examples in Rust, started with the README's own commands.

use std::borrow::Cow;
use std::process::{Output, Stdio};

use msgstream::broker::{Server, Settings};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// `cargo run --example` and what follows, with that broker; cargo builds it if nobody has.
fn example(arguments: &[&str], broker: &str) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--locked", "--example"]).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env("MSGSTREAM_SERVER", broker).env_remove("RUST_BACKTRACE").kill_on_drop(true);
    command
}

/// What it printed, if it ended well and without a word of complaint.
fn printed(output: &Output) -> Cow<'_, str> {
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8_lossy(&output.stdout)
}

#[tokio::test]
async fn a_listener_follows_the_job_to_its_end() {
    let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], &Settings::default()).unwrap();
    let broker = server.addresses()[0].to_string();
    let running = tokio::spawn(server.run(std::future::pending(), std::future::pending()));

    let mut watching = example(&["listen", "--", "fit"], &broker).stdout(Stdio::piped()).spawn().unwrap();
    let mut watched = BufReader::new(watching.stdout.take().unwrap()).lines();
    // The job starts once the listener is there, so that what it sees is always the same.
    assert_eq!(watched.next_line().await.unwrap().as_deref(), Some("fit: waiting for the job"));
    let fitted = example(&["fit", "--", "fit", "--steps", "3", "--pause", "0"], &broker).output().await.unwrap();
    assert!(printed(&fitted).starts_with("amplitude "), "{fitted:?}");

    let mut lines = Vec::new();
    while let Some(line) = watched.next_line().await.unwrap() {
        lines.push(line);
    }
    assert!(watching.wait().await.unwrap().success());
    assert_eq!(lines[0], "fit: start of exponential decay");
    assert!(lines.iter().any(|line| line.starts_with("fit: 3 done, chisq ")), "{lines:?}");
    assert!(lines[lines.len() - 2].starts_with("fit: complete: {\"amplitude\":"), "{lines:?}");
    assert_eq!(lines[lines.len() - 1], "fit: ended");

    let late = example(&["listen", "--", "fit"], &broker).output().await.unwrap();
    let late = printed(&late);
    let [header, end] = late.lines().collect::<Vec<_>>()[..] else { panic!("{late}") };
    assert!(header.starts_with("fit: joined at complete: "), "{header}");
    assert_eq!(end, "fit: ended");
    running.abort();
}

#[tokio::test]
async fn a_listener_says_when_nobody_is_there() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = example(&["listen", "--", "fit"], &nobody).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.starts_with(&format!("Error: cannot connect to {nobody}: ")), "{error}");
}

#[tokio::test]
async fn a_broker_inside_a_program() {
    let output = example(&["in_process"], "nobody:1").output().await.unwrap();
    let printed = printed(&output);
    assert!(printed.starts_with("listening on 127.0.0.1:"), "{printed}");
    for line in ["thread: 3", "thread: ended with \"done\"", "3 listeners were told of the end", "over TCP: Header(\"step 3\")"] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is missing in {printed}");
    }
}
