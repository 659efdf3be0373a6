//! The program with TLS: what is true of a plain connection is true of an encrypted one.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::checker::{Sent, Stay, assert_clean, padded_put};
use crate::harness::{Broker, Client, Encoding, Settings, Socket, Transport, encryption, group, is_end, settings, until};

fn small_queues() -> Settings {
    settings().encrypted().short_lines(64 << 10).set("outbox.limit", "1MiB").set("tcp.send_buffer", "16KiB")
}

/// A listener with little room in the kernel, so that it is soon noticed when it does not read.
fn slow_listener(broker: &Broker, stream: &str) -> Client {
    let socket = Socket::tcp_with_little_room(broker.encrypted_addr()).encrypted(encryption(None));
    let mut client = Client::new(socket);
    client.send(&format!(r#"{{"action":"listen","stream":"{stream}"}}"#));
    client.settle();
    client
}

/// Publishes until the receipt says that nobody listens any more; returns the number of the next message.
fn publish_until_cut(publisher: &mut Client, mut seq: u32) -> u32 {
    until("the listener is cut off", || {
        let put = padded_put("job", 0, seq, 1000);
        publisher.send(&format!(r#"{},"receipt":1}}"#, put.strip_suffix('}').unwrap()));
        seq += 1;
        publisher.next().contains(r#""listeners":0"#).then_some(seq)
    })
}

#[test]
fn one_that_reads_nothing_is_cut_off_at_the_limit_and_told() {
    let mut broker = Broker::start(small_queues().set("outbox.write_time", "60s").set("outbox.drain_time", "20s"));
    let mut publisher = broker.client_over(Transport::Tls, Encoding::JsonLines);
    let mut stalled = slow_listener(&broker, "job");
    let sent = publish_until_cut(&mut publisher, 0);
    let waited = sent as usize * 1000;
    assert!((900 << 10..3 << 20).contains(&waited), "cut off when {waited} bytes waited, the limit being 1 MiB");
    let mut lines = stalled.rest();
    let last = lines.pop().unwrap();
    assert!(is_end(&last, "slow_listener") && last.contains("outbox.limit"), "the last line was {last}");
    assert_clean("job", &Sent::by_each(1, sent), Stay::CutShort, &[lines]);
    broker.assert_well();
}

#[test]
fn one_that_takes_nothing_is_cut_off_after_the_write_time() {
    let broker = Broker::start(small_queues().set("outbox.write_time", "300ms").set("outbox.limit", "64MiB"));
    let mut publisher = broker.client_over(Transport::Tls, Encoding::JsonLines);
    let mut stalled = slow_listener(&broker, "job");
    publish_until_cut(&mut publisher, 0);
    let last = stalled.rest().pop().unwrap();
    assert!(is_end(&last, "slow_listener") && last.contains("outbox.write_time"), "the last line was {last}");
}

/// Blocked, and then read to the end: nothing is lost in between.
#[test]
fn one_that_reads_again_gets_everything() {
    const MESSAGES: u32 = 3_000;
    let broker = Broker::start(small_queues().set("outbox.limit", "16MiB").set("outbox.write_time", "60s"));
    let mut publisher = broker.client_over(Transport::Tls, Encoding::JsonLines);
    let mut slow = slow_listener(&broker, "job");
    for seq in 0..MESSAGES {
        publisher.send(&padded_put("job", 0, seq, 1000));
    }
    publisher.ping();
    let lines = slow.next_lines(MESSAGES as usize);
    assert_clean("job", &Sent::by_each(1, MESSAGES), Stay::Throughout, &[lines]);
    slow.expect_silence();
}

#[test]
fn one_too_many_is_told_so() {
    let broker = Broker::start(settings().encrypted().set("limits.connections", 1));
    let mut first = broker.client_over(Transport::Tls, Encoding::JsonLines);
    first.ping();
    for encoding in [Encoding::JsonLines, Encoding::MessagePack] {
        let mut second = broker.client_over(Transport::Tls, encoding);
        // Its handshake is made as it speaks.
        second.send(r#"{"action":"ping"}"#);
        second.expect_ended("limit");
    }
    first.ping();
}

/// One that does not speak TLS is told in the encoding of the address.
#[test]
fn one_without_tls_is_told_in_the_clear() {
    let broker = Broker::start(settings().encrypted().set("log.level", "debug"));
    let mut plain = Client::new(Socket::tcp(broker.encrypted_addr()));
    plain.send(r#"{"action":"ping"}"#);
    let told = plain.next();
    assert!(is_end(&told, "not_json") && told.contains("this address speaks TLS"), "{told}");
    plain.expect_eof();
    broker.until_logged("no encrypted connection");
}

#[test]
fn the_name_in_a_clients_certificate_is_its_name_in_the_log() {
    let place = crate::harness::Place::new();
    let file = place.file("clients.pem");
    std::fs::write(&file, group().pem()).unwrap();
    let required = settings().encrypted().set("tls.client_ca", file.display()).set("tls.client_certificates", "required");
    let broker = Broker::start(required.set("log.level", "debug"));
    let own = group().for_client("alice");
    let mut client = Client::new(Socket::tls(broker.encrypted_addr(), encryption(Some(&own))));
    client.ping();
    broker.until_logged("(alice)");
}

/// The broker stops in the midst of handshakes, and of nothing else.
#[test]
fn handshakes_do_not_hold_up_the_end() {
    let mut broker = Broker::start(settings().encrypted());
    let mut client = broker.client_over(Transport::Tls, Encoding::JsonLines);
    client.ping();
    let mut begun: Vec<_> = (0..20).map(|_| TcpStream::connect(broker.encrypted_addr()).unwrap()).collect();
    for (number, socket) in begun.iter_mut().enumerate() {
        socket.write_all(&[0x16, 3, 1][..number % 4]).unwrap();
    }
    client.ping();
    broker.terminate();
    client.expect_ended("shutdown");
    assert!(broker.until_ended().success());
    for mut socket in begun {
        // An end or a reset.
        let _ = socket.read_to_end(&mut Vec::new());
    }
}
