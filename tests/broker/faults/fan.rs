//! One publisher to very many listeners, very many publishers to one listener, and many to many.

use std::thread;
use std::time::{Duration, Instant};

use crate::checker::{Sent, Stay, assert_clean, put, put_with_header};
use crate::harness::{Broker, Client, alone, settings};

// Seen to fail, like the next: with one of a thousand deliveries left out.
#[test]
fn one_publisher_to_a_thousand_listeners() {
    let _alone = alone();
    const MESSAGES: u32 = 300;
    let broker = Broker::start(settings());
    let mut early: Vec<_> = (0..500).map(|_| broker.listener("job")).collect();
    let mut publisher = broker.client();
    let mut late = Vec::new();
    thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            for seq in 0..MESSAGES {
                publisher.send(&put_with_header("job", 0, seq));
                // Each is on its way before the next, so that there is time for others to join in between.
                publisher.ping();
            }
        });
        // They join while it publishes: each must have the header and then exactly what the header does not tell.
        for _ in 0..500 {
            let mut client = broker.client();
            client.send(r#"{"action":"listen","stream":"job"}"#);
            late.push(client);
        }
        publishing.join().unwrap();
    });
    let sent = Sent::by_each(1, MESSAGES);
    assert_clean("job", &sent, Stay::Throughout, &arrived(&mut early));
    assert_clean("job", &sent, Stay::Late, &arrived(&mut late));
}

#[test]
fn a_thousand_publishers_to_one_listener() {
    let _alone = alone();
    const EACH: u32 = 20;
    let broker = Broker::start(settings());
    let mut listener = broker.listener("job");
    let mut publishers: Vec<_> = (0..1_000).map(|_| broker.client()).collect();
    let lines = thread::scope(|scope| {
        let listening = scope.spawn(|| listener.next_lines(1_000 * EACH as usize));
        for half in [0..EACH / 2, EACH / 2..EACH] {
            for (number, publisher) in (0..).zip(&mut publishers) {
                let lines: String = half.clone().map(|seq| put("job", number, seq) + "\n").collect();
                publisher.send_bytes(lines.as_bytes());
            }
        }
        listening.join().unwrap()
    });
    assert_clean("job", &Sent::by_each(1_000, EACH), Stay::Throughout, &[lines]);
    listener.expect_silence();
}

#[test]
fn many_publishers_to_many_listeners_who_agree_on_the_order() {
    let _alone = alone();
    const EACH: u32 = 1_500;
    let broker = Broker::start(settings());
    let listeners: Vec<_> = (0..6).map(|_| broker.listener("job")).collect();
    let publishers: Vec<_> = (0..6).map(|_| broker.client()).collect();
    let lines: Vec<_> = thread::scope(|scope| {
        for (number, mut publisher) in (0..).zip(publishers) {
            scope.spawn(move || {
                for seq in 0..EACH {
                    publisher.send(&put("job", number, seq));
                }
                publisher.ping();
            });
        }
        let listen = |mut listener: Client| move || listener.next_lines(6 * EACH as usize);
        let listening: Vec<_> = listeners.into_iter().map(|listener| scope.spawn(listen(listener))).collect();
        listening.into_iter().map(|listening| listening.join().unwrap()).collect()
    });
    assert_clean("job", &Sent::by_each(6, EACH), Stay::Throughout, &lines);
}

#[test]
fn nobody_starves_beside_a_publisher_that_never_pauses() {
    let _alone = alone();
    let broker = Broker::start(settings());
    let mut listener = broker.listener("paced");
    let mut paced = broker.client();
    let mut firehose = broker.client();
    // No answer to it is ever read, since none is asked for: it writes as fast as the broker takes.
    let flood = (put("flood", 0, 0) + "\n").repeat(1_000);
    let mut stop = firehose.second_hand();
    let slowest = thread::scope(|scope| {
        let flooding = scope.spawn(move || while firehose.try_send_bytes(flood.as_bytes()) {});
        let times = (0..200).map(|seq| {
            let start = Instant::now();
            paced.send(&put("paced", 0, seq));
            listener.expect(&put("paced", 0, seq));
            start.elapsed()
        });
        let slowest = times.max().unwrap();
        assert!(!flooding.is_finished(), "the flood ended too soon to tell anything");
        stop.finish();
        flooding.join().unwrap();
        slowest
    });
    // A turn each is a millisecond or so; the rest is for a busy machine.
    assert!(slowest < Duration::from_millis(500), "one message took {slowest:?}");
    stop.expect_eof();
}

fn arrived(clients: &mut [Client]) -> Vec<Vec<String>> {
    clients.iter_mut().map(Client::arrived).collect()
}
