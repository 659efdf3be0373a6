//! The configuration is read again and again while clients are at work.

use std::fs;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use crate::checker::put;
use crate::harness::{Broker, alone, settings, until};

const TIMES: u32 = 1_000;

const ALL: &str = "publish = ['']; listen = ['']";

/// Each is read, if no other signal comes first: good ones, and such that cannot be used.
const FILES: [&str; 5] = [
    "limits.streams = 1000\nlog.level = \"debug\"",
    "limits.streams = \"a few\"",
    "limits.connections = 3",
    "[limits\nstreams",
    "limits.name = \"10MiB\"\nlimits.line = \"1MiB\"",
];

// Seen to fail: with limits for which the core began anew.
#[test]
fn a_thousand_reloads_under_load_lose_nothing() {
    let _alone = alone();
    let mut broker = Broker::start(settings());
    let (mut publisher, mut listener, mut packed) = (broker.client(), broker.listener("job"), broker.packed_client());
    packed.send(r#"{"action":"listen","stream":"job"}"#);
    packed.settle();
    for time in 0..TIMES {
        broker.reload(FILES[time as usize % FILES.len()]);
        let messages: Vec<_> = (0..5).map(|seq| put("job", 0, 5 * time + seq)).collect();
        publisher.send_lines(messages.iter().map(|message| format!("{message}\n")).collect::<String>().as_bytes());
        assert_eq!(listener.next_lines(5), messages);
        let heard: Vec<_> = messages.iter().map(|message| packed.as_heard(message)).collect();
        assert_eq!(packed.next_lines(5), heard);
    }
    // Signals that come while one is at work are one signal. The last of all is read for certain.
    broker.reload("limits.streams = 2");
    let mut streams = 0;
    until("the last configuration is in force", || {
        streams += 1;
        publisher.send(&format!(r#"{{"action":"header","stream":"{streams}","message":0,"receipt":1}}"#));
        publisher.next().contains("limits.streams").then_some(())
    });
    let log = broker.log();
    assert!(log.iter().any(|line| line.contains("configuration reloaded")) && log.iter().any(|line| line.contains("stays as it was")));
    broker.reload("");
    broker.until_logged("configuration reloaded");
    broker.assert_well();
}

/// A token that stays, one that comes and goes, and so many others: by their number it is known which file was read.
fn tokens(revocable: bool, others: usize) -> Vec<(String, &'static str)> {
    let named = ["mst_kept"].into_iter().chain(revocable.then_some("mst_revocable")).map(str::to_owned);
    named.chain((0..others).map(|number| format!("mst_other_{number}"))).map(|token| (token, ALL)).collect()
}

/// The broker finds a change by itself, and is told of some as well.
// Seen to fail when a pipe was opened to be read: nothing was read any more.
#[test]
fn a_token_that_is_revoked_amid_many_changes_stays_out() {
    let mut broker = Broker::start(settings().token("mst_kept", ALL));
    let change = |revocable, others| broker.write_tokens(&tokens(revocable, others));
    let tell = || broker.process().signal(Signal::HUP);
    let times_read = |identities: usize| broker.times_logged(&format!("\"identities\":{identities},"));
    let until_read = |identities, times| until("the file is read", || (times_read(identities) >= times).then_some(()));
    let let_in = |token: &str| {
        let mut client = broker.client();
        client.send(&format!(r#"{{"action":"auth","token":"{token}"}}"#));
        client
    };
    let mut kept = let_in("mst_kept");
    for number in 0..200 {
        change(number % 2 == 0, 0);
        if number % 3 != 0 {
            tell();
        }
    }
    change(true, 10);
    until_read(12, 1);
    let mut held = let_in("mst_revocable");
    held.ping();
    // Nobody writes into it, and nothing waits for that.
    mknodat(CWD, broker.file("pipe"), FileType::Fifo, Mode::from(0o600), 0).unwrap();
    fs::rename(broker.file("pipe"), broker.file("tokens.toml")).unwrap();
    tell();
    broker.until_logged("it is no regular file");
    change(false, 20);
    until_read(21, 1);
    held.expect_ended("auth_failed");
    for times in 1..4 {
        until_read(21, times);
        let_in("mst_revocable").expect_ended("auth_failed");
        tell();
    }
    kept.ping();
    broker.assert_well();
}
