//! Marks in the stream of bytes, at which the kernel ends a read although more stands behind them: urgent data, and descriptors
//! that a client sends along.
//!
//! The broker is stopped while a client sends, so that all of it stands in the socket before the first read, and no later arrival
//! wakes the broker for what is behind the mark.

use std::fs::File;
use std::os::fd::AsFd;

use rustix::process::Signal;

use crate::harness::{Broker, Client, Encoding, Transport, settings, until};

const LINES: &[u8] = b"{\"action\":\"ping\",\"receipt\":1}\n{\"action\":\"ping\",\"receipt\":2}\n{\"action\":\"ping\",\"receipt\":3}\n";

/// Each line has so many bytes.
const LINE: usize = LINES.len() / 3;

/// How many bytes stand before a mark: the first, some of a line, all of it but its end, all of it, the first of the next as well.
const PLACES: [usize; 5] = [1, LINE / 2, LINE - 1, LINE, LINE + 1];

/// Sends to a broker that stands still, and expects all answers once it goes on.
fn expect_all(broker: &Broker, client: &mut Client, send: impl FnOnce(&mut Client)) {
    // What has been said before is read, and the broker waits for the socket.
    client.ping();
    broker.process().signal(Signal::STOP);
    until("the broker stands still", || (broker.process().state() == 'T').then_some(()));
    send(client);
    broker.process().signal(Signal::CONT);
    for number in 1..=3 {
        client.expect(&format!(r#"{{"action":"pong","receipt":{number}}}"#));
    }
}

// Seen to fail: when a short read was taken to have emptied the socket, with a tail that waited for the next byte; with the urgent
// byte taken out of the stream, as the kernel does unless told otherwise.
#[test]
fn urgent_data_is_part_of_its_line_and_holds_nothing_up() {
    let broker = Broker::start(settings());
    for transport in [Transport::Tcp, Transport::Unix] {
        for place in PLACES {
            let mut client = broker.client_over(transport, Encoding::JsonLines);
            expect_all(&broker, &mut client, |client| {
                if let Err(error) = client.send_urgent(&LINES[..place]) {
                    // Not every kernel has it there.
                    assert_eq!(transport, Transport::Unix, "{error}");
                    client.send_bytes(&LINES[..place]);
                }
                client.send_bytes(&LINES[place..]);
            });
        }
    }
}

// Seen to fail: like the one above.
#[test]
fn urgent_data_comes_again_and_again() {
    let broker = Broker::start(settings());
    let mut client = broker.client();
    for place in PLACES.into_iter().cycle().take(50) {
        expect_all(&broker, &mut client, |client| {
            client.send_urgent(&LINES[..place]).unwrap();
            client.send_bytes(&LINES[place..]);
        });
    }
}

// Seen to fail: when a short read was taken to have emptied a Unix socket.
#[test]
fn descriptors_that_come_along_are_closed_and_hold_nothing_up() {
    let broker = Broker::start(settings());
    let mut client = broker.client_over(Transport::Unix, Encoding::JsonLines);
    client.ping();
    let fds = broker.fds();
    for place in PLACES {
        let file = File::open("/dev/null").unwrap();
        expect_all(&broker, &mut client, |client| {
            client.send_with_descriptor(&LINES[..place], file.as_fd());
            client.send_with_descriptor(&LINES[place..2 * LINE], file.as_fd());
            client.send_bytes(&LINES[2 * LINE..]);
        });
    }
    assert_eq!(broker.fds(), fds);
}

// Seen to fail: on both kinds of socket, with reads that go on until nothing is found, as after a mark.
#[test]
fn a_line_without_a_mark_costs_one_read() {
    const PINGS: u64 = 1_000;
    let broker = Broker::start(settings().set("runtime.workers", 1));
    for transport in [Transport::Tcp, Transport::Unix] {
        let mut client = broker.client_over(transport, Encoding::JsonLines);
        client.ping();
        let before = broker.process().reads();
        (0..PINGS).for_each(|_| client.ping());
        let reads = broker.process().reads() - before;
        // Others are few: of the runtime's own wake-ups, say.
        assert!((PINGS..PINGS + PINGS / 10).contains(&reads), "{reads} reads for {PINGS} pings over {transport:?}");
    }
}
