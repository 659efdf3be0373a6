//! Clients that the broker does not know, and tokens that change while it runs.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::MetadataExt;

use sha2::{Digest, Sha256};

use crate::harness::{Broker, Client, Encoding, Socket, Transport, descriptors_for, is_end, settings, tcp_from, until};

const ALL: &str = "publish = ['']; listen = ['']";

/// All of this machine.
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 2)];

fn let_in(broker: &Broker, token: &str) -> Client {
    let mut client = broker.client();
    client.send(&format!(r#"{{"action":"auth","token":"{token}"}}"#));
    client
}

// Seen to fail when newcomers were turned away at the limit: the one that has a token found no place.
#[test]
fn strangers_that_say_nothing_keep_nobody_out() {
    let broker =
        Broker::start(settings().token("mst_a", ALL).set("auth.waiting", 50).set("limits.connections", 600).set("auth.time", "60s"));
    let mut known = let_in(&broker, "mst_a");
    known.ping();
    let come = |number| Client::new(Socket::Tcp(tcp_from(ADDRESSES[number % ADDRESSES.len()], broker.addr())));
    let mut strangers: Vec<_> = (0..descriptors_for(500)).map(come).collect();
    // Whoever comes later is let in all the same: those who have waited for longest make room.
    for address in ADDRESSES {
        let mut late = Client::new(Socket::Tcp(tcp_from(address, broker.addr())));
        late.send(r#"{"action":"auth","token":"mst_a"}"#);
        late.ping();
    }
    known.ping();
    let made_room = strangers.len() - 50;
    for stranger in &mut strangers[..made_room] {
        // When many come at once, some are closed without a word.
        if let Ok(Some(line)) = stranger.line_or_break() {
            assert!(is_end(&line, "limit"), "{line}");
        }
    }
    let mut other = broker.client_over(Transport::Unix, Encoding::JsonLines);
    other.send(r#"{"action":"auth","token":"mst_a"}"#);
    other.ping();
}

// Seen to fail when a handshake took no place: whoever comes at last found no connection left.
#[test]
fn strangers_that_do_not_finish_a_handshake_keep_nobody_out() {
    let strict = settings().encrypted().token("mst_a", ALL).set("auth.waiting", 50).set("limits.first_line_time", "60s");
    let strict = strict.set("log.level", "debug");
    let broker = Broker::start(strict.set("limits.connections", 400));
    let mut known = let_in(&broker, "mst_a");
    known.ping();
    // Silent ones, and ones that have begun: with a byte, with the header of a record, with a part of what it announces.
    let beginning = [0x16, 3, 1, 2, 0, 1, 0, 1];
    let mut strangers = Vec::new();
    for number in 0..descriptors_for(500) {
        let mut stranger = tcp_from(ADDRESSES[number % ADDRESSES.len()], broker.encrypted_addr());
        // It may have been closed already.
        let _ = stranger.write_all(&beginning[..[0, 1, 5, 8][number / 2 % 4]]);
        strangers.push(stranger);
    }
    for transport in [Transport::Tls, Transport::Tcp] {
        let mut late = broker.client_over(transport, Encoding::JsonLines);
        late.send(r#"{"action":"auth","token":"mst_a"}"#);
        late.ping();
    }
    known.ping();
    // As many as there are places are still there.
    let is_there = |stranger: &TcpStream| {
        stranger.set_nonblocking(true).unwrap();
        stranger.peek(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    until("the others are closed", || (strangers.iter().filter(|stranger| is_there(stranger)).count() <= 50).then_some(()));
    assert!(strangers.iter().rev().take(20).all(is_there), "the last to come have not waited for longest");
    broker.until_logged("others needed its place (auth.waiting)");
}

// Seen to fail when each took a place: those who could have been let in made room for those who could not.
#[test]
fn who_is_only_told_that_there_is_no_room_takes_no_place() {
    let strict = settings().encrypted().token("mst_a", ALL).set("auth.waiting", 5).set("auth.time", "60s");
    let broker = Broker::start(strict.set("limits.connections", 20));
    let mut known: Vec<_> = (0..16).map(|_| let_in(&broker, "mst_a")).collect();
    known.iter_mut().for_each(Client::ping);
    let mut waiting: Vec<_> = (0..4).map(|_| broker.client()).collect();
    let refused: Vec<_> = (0..5).map(|_| TcpStream::connect(broker.encrypted_addr()).unwrap()).collect();
    for mut socket in refused {
        // It says nothing, so there is no word for it.
        assert_eq!(socket.read(&mut [0]).unwrap(), 0);
    }
    for client in &mut waiting {
        client.send(r#"{"action":"auth","token":"mst_a"}"#);
        client.ping();
    }
}

// Seen to fail when all of a crowd were accepted before any was read: most made room for the others.
#[test]
fn a_crowd_that_has_said_who_it_is_while_the_broker_had_no_turn_is_let_in() {
    let broker = Broker::start(settings().token("mst_a", ALL).set("auth.waiting", 20).set("auth.time", "60s"));
    let mut crowd = Vec::new();
    broker.while_stopped(|| {
        for _ in 0..descriptors_for(300) {
            let mut client = broker.client();
            client.send(r#"{"action":"auth","token":"mst_a"}"#);
            crowd.push(client);
        }
    });
    crowd.iter_mut().for_each(Client::ping);
}

// Seen to fail when the file was not looked at.
#[test]
fn a_revoked_token_ends_its_connections_and_a_broken_file_ends_none() {
    let broker = Broker::start(settings().token("mst_a", ALL).token("mst_b", ALL));
    let (mut revoked, mut kept) = (let_in(&broker, "mst_a"), let_in(&broker, "mst_b"));
    revoked.ping();
    kept.send(r#"{"action":"listen","stream":"job"}"#);
    kept.ping();
    broker.set_tokens(&[("mst_b", "publish = ['', 'x']; listen = ['']"), ("mst_c", ALL)]);
    revoked.expect_ended("auth_failed");
    let told = broker.until_logged("tokens read again, and connections ended");
    assert!(told.contains("WARN") && told.contains("was revoked"), "{told}");
    let_in(&broker, "mst_a").expect_ended("auth_failed");
    fs::write(broker.file("tokens.toml"), "").unwrap();
    broker.until_logged("nobody is in it any more");
    fs::write(broker.file("tokens.toml"), "[b\n").unwrap();
    let told = broker.until_logged("line 1");
    assert!(told.contains("tokens not read again"), "{told}");
    let mut new = let_in(&broker, "mst_c");
    new.send(r#"{"action":"put","stream":"job","message":1}"#);
    new.ping();
    kept.expect(r#"{"action":"put","stream":"job","message":1}"#);
}

#[test]
fn a_user_whom_the_broker_knows_needs_no_token_on_a_unix_socket() {
    let user = fs::metadata("/proc/self").unwrap().uid();
    let rights = format!("unix_user = {user}; publish = ['mine-']");
    let broker = Broker::start(settings().token("me", &rights).token("mst_a", ALL).set("auth.time", "300ms"));
    let mut silent = broker.client();
    for encoding in [Encoding::JsonLines, Encoding::MessagePack] {
        let mut client = broker.client_over(Transport::Unix, encoding);
        client.send(r#"{"action":"put","stream":"mine-1","message":1,"receipt":1}"#);
        client.expect(&client.as_heard(r#"{"action":"receipt","receipt":1,"listeners":0}"#));
        client.send(r#"{"action":"put","stream":"job","message":1}"#);
        assert!(client.line().unwrap().contains("denied"));
        // A token counts more than who one is.
        let mut client = broker.client_over(Transport::Unix, encoding);
        client.send(r#"{"action":"auth","token":"mst_a"}"#);
        client.send(r#"{"action":"put","stream":"job","message":1,"receipt":1}"#);
        client.expect(&client.as_heard(r#"{"action":"receipt","receipt":1,"listeners":0}"#));
    }
    let mut idle = broker.client_over(Transport::Unix, Encoding::JsonLines);
    silent.expect_ended("auth_required");
    // Its time would be over by now, too.
    idle.ping();
}

// Seen to fail when the reason of a wrong line was logged as it is.
#[test]
fn a_token_is_neither_in_the_log_nor_in_the_command_line() {
    let broker = Broker::start(settings().token("mst_good", ALL).set("log.level", "trace"));
    let_in(&broker, "mst_good").ping();
    for line in [
        r#"{"action":"auth","token":"mst_bad"}"#,
        r#"{"action":"auth","token":mst_bad}"#,
        r#"{"action":"mst_bad"}"#,
        r#"{"mst_bad":1,"mst_bad":1}"#,
        "mst_bad",
    ] {
        let mut client = broker.client();
        client.send(line);
        while let Some(told) = client.line() {
            assert!(!told.contains("mst_bad"), "{told}");
        }
        let mut known = let_in(&broker, "mst_good");
        known.send(line);
        let told = known.line().unwrap();
        assert!(!told.contains("mst_bad"), "{told}");
    }
    // Only its own client is told of the stream again.
    let mut known = let_in(&broker, "mst_good");
    known.send(r#"{"action":"put","stream":"$mst_bad","message":1}"#);
    assert!(known.line().unwrap().contains("it is not said"));
    let mut last = broker.client();
    last.send(r#"{"action":"auth","token":"mst_last"}"#);
    last.expect_ended("auth_failed");
    until("it is logged", || broker.log().iter().any(|line| line.contains("token refused")).then_some(()));
    let digests = ["mst_good", "mst_bad", "mst_last"].map(|token| format!("{:x}", Sha256::digest(token)));
    for secret in digests.iter().map(String::as_str).chain(["mst_"]) {
        let shown: Vec<_> = broker.log().into_iter().filter(|line| line.to_lowercase().contains(secret)).collect();
        assert!(shown.is_empty(), "{shown:?}");
    }
    let arguments = fs::read(format!("/proc/{}/cmdline", broker.process().id())).unwrap();
    assert!(!String::from_utf8_lossy(&arguments).contains("mst_"));
}
