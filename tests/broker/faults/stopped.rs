//! The broker's process is stopped for a while, as when a machine is suspended.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::checker::{Sent, Stay, assert_clean, padded_put};
use crate::harness::{Broker, alone, settings, until, watch};

/// Longer than every time limit that the broker is given below.
const PAUSE: Duration = Duration::from_secs(2);

// Seen to fail: with clocks that are read before the sockets are tried, so that the pause counts as the listeners' slowness.
#[test]
fn a_pause_loses_nothing_and_cuts_off_nobody() {
    let _alone = alone();
    const MESSAGES: u32 = 4_000;
    let mut broker =
        Broker::start(settings().set("outbox.write_time", "1s").set("outbox.drain_time", "1s").set("tcp.send_buffer", "16KiB"));
    let mut listeners: Vec<_> = (0..8).map(|_| broker.listener("job")).collect();
    let mut publisher = broker.client();
    publisher.ping();
    let lines = thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            for seq in 0..MESSAGES {
                publisher.send(&padded_put("job", 0, seq, 1_000));
            }
            publisher.ping();
        });
        // In the midst of it, with all that is queued and half sent.
        let begun: Vec<_> = listeners.iter_mut().map(|listener| listener.next_lines(100)).collect();
        broker.process().signal(Signal::STOP);
        until("the broker stands still", || (broker.process().state() == 'T').then_some(()));
        watch(PAUSE, || {});
        broker.process().signal(Signal::CONT);
        let reading: Vec<_> = listeners
            .iter_mut()
            .zip(begun)
            .map(|(listener, mut begun)| {
                scope.spawn(move || {
                    begun.extend(listener.next_lines(MESSAGES as usize - 100));
                    begun
                })
            })
            .collect();
        let lines: Vec<_> = reading.into_iter().map(|reading| reading.join().unwrap()).collect();
        publishing.join().unwrap();
        lines
    });
    assert_clean("job", &Sent::by_each(1, MESSAGES), Stay::Throughout, &lines);
    for listener in &mut listeners {
        listener.expect_silence();
    }
    broker.assert_well();
}
