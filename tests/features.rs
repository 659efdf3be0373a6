//! A program that wants the client alone: it builds without the broker, and without what only the broker and the program need.

#![allow(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The most crates that such a program may resolve, tokio's and serde's among them.
const MOST: usize = 35;

/// What only the broker or the program needs.
const UNWANTED: [&str; 13] = [
    "anyhow",
    "aws-lc-rs",
    "clap",
    "config",
    "hashbrown",
    "hdrhistogram",
    "indicatif",
    "redb",
    "rustix",
    "rustls",
    "tikv-jemallocator",
    "tracing-subscriber",
    "wide",
];

const MANIFEST: &str = r#"
[package]
name = "client-only"
version = "0.0.0"
edition = "2024"

[dependencies]
msgstream = { path = "ROOT", default-features = false }
tokio = { version = "1", features = ["rt", "macros"] }

[profile.dev]
debug = false

[workspace]
"#;

const PROGRAM: &str = r#"
use msgstream::client::{ClientError, Event, Options, RemoteStream, ServerAddress, StreamState};
use msgstream::job::monitor::{Message, Progress};
use msgstream::units::ByteSize;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ClientError> {
    let Ok(address) = ServerAddress::DEFAULT.parse() else { return Ok(()) };
    let options = Options::default().queue(ByteSize(1 << 20));
    let broker = RemoteStream::connect_with(address, options).await?;
    let mut listener = broker.listen("job-1").await?;
    if listener.joined().await.is_some_and(|joined| joined.state == StreamState::Waiting) {
        broker.put("job-1", &Message::from(Progress::new(1.0))).await?;
    }
    while let Some(event) = listener.next().await {
        if let Event::Message(content) = event {
            println!("{content}");
        }
    }
    broker.disconnect().await
}
"#;

/// A program of its own, with the versions of this one.
fn client_only() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("client_only");
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("Cargo.toml"), MANIFEST.replace("ROOT", &root.display().to_string())).unwrap();
    fs::write(folder.join("src/main.rs"), PROGRAM).unwrap();
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    folder
}

fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        // All that it needs is here, since this program needs it, too.
        .args(["--quiet", "--offline"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "cargo {arguments:?} warns");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_client_builds_alone_and_needs_little() {
    let folder = client_only();
    cargo(&folder, &["check"]);
    let tree = cargo(&folder, &["tree", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let crates: BTreeSet<_> = tree.lines().filter_map(|line| line.split(' ').next()).filter(|name| *name != "client-only").collect();
    assert!(crates.contains("msgstream") && crates.contains("tokio"), "{tree}");
    assert!(crates.len() <= MOST, "{} crates, of which {MOST} may be: {crates:?}", crates.len());
    let unwanted: Vec<_> = UNWANTED.into_iter().filter(|name| crates.contains(name)).collect();
    assert!(unwanted.is_empty(), "{unwanted:?}");
}
