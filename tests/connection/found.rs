//! Faults that were found by reading, each with the test that showed it. `Was:` says what happened then.

use std::time::Duration;

use msgstream::broker::{Policy, Settings};
use msgstream::internal::broker::actor::Command;
use msgstream::units::{ByteSize, Span};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::{Broker, put};

pub(super) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.outbox.limit = ByteSize(1000);
    settings.outbox.write_time = Span::from_secs(20);
    settings.outbox.throttle_time = Span::from_secs(30);
    settings.outbox.drain_time = Span::from_secs(5);
    settings
}

pub(super) async fn stalled_listeners(broker: &Broker) -> Vec<super::Peer> {
    let mut listeners = Vec::new();
    for _ in 0..4 {
        let listener = broker.listener("s").await;
        listener.room(0);
        listeners.push(listener);
    }
    listeners
}

async fn shut_down(broker: &Broker) {
    let (done, all_taken_in) = oneshot::channel();
    broker.context.mailbox.send(Command::Quiesce(done));
    all_taken_in.await.unwrap();
    broker.context.mailbox.send(Command::Shutdown);
}

/// Was: `finish` on a blocked outbox wakes nobody: the drain time begins only when some other clock runs out.
#[tokio::test(start_paused = true)]
async fn shutdown_of_a_blocked_connection_keeps_its_deadline() {
    let mut settings = settings();
    settings.outbox.write_time = Span::from_secs(3600);
    let broker = Broker::start(&settings);
    let (listener, publisher) = (broker.listener("s").await, broker.connect());
    listener.room(0);
    publisher.line(&put("s", "1"));
    publisher.ping().await;
    let began = Instant::now();
    shut_down(&broker).await;
    listener.rest().await;
    assert!(began.elapsed() <= Duration::from_secs(10), "drained for {:?}, drain_time is 5 s", began.elapsed());
}

/// Was: a run is larger than the outbox may be, which `Config::check` allows for any limit from `limits.line` + 1 KiB.
/// A listener that takes everything is told that it is slow.
#[tokio::test(start_paused = true)]
async fn a_run_does_not_cut_a_listener_that_takes_everything() {
    let mut settings = Settings::default();
    settings.limits.line = ByteSize(1 << 10);
    settings.outbox.limit = ByteSize(2 << 10);
    let broker = Broker::start(&settings);
    let (listener, publisher) = (broker.listener("s").await, broker.connect());
    let all: String = (0..100).map(|number| put("s", &number.to_string()) + "\n").collect();
    publisher.send(&all);
    publisher.ping().await;
    let text = listener.ping().await;
    assert!(text == all, "{text}");
}

/// Was: the total counts what `relieve` cannot give back (the rest of a frame that was sent in part), and cuts
/// everybody with anything queued, in vain, round after round.
#[tokio::test(start_paused = true)]
async fn relief_cuts_nobody_in_vain() {
    let mut settings = Settings::default();
    settings.outbox.total = ByteSize(100_000);
    let broker = Broker::start(&settings);
    let (publisher, modest) = (broker.connect(), broker.listener("modest").await);
    let large = ["a", "b", "c"];
    let mut stalled = Vec::new();
    for stream in large {
        let listener = broker.listener(stream).await;
        listener.room(10);
        stalled.push(listener);
    }
    for stream in large {
        publisher.line(&put(stream, &format!("\"{}\"", "x".repeat(40_000))));
        publisher.ping().await;
    }
    // Over the total now: the three long ones may go, the short one is none of the matter.
    modest.room(10);
    for _ in 0..10 {
        publisher.line(&put("modest", "1"));
        publisher.ping().await;
    }
    assert!(broker.context.stats.snapshot().cut_total <= 3, "{:?}", broker.context.stats.snapshot());
    modest.room(usize::MAX / 2);
    assert_eq!(modest.ping().await, (put("modest", "1") + "\n").repeat(10));
}

/// Was: the total counts what waits in the mailbox, in nobody's queue.
#[tokio::test(start_paused = true)]
async fn what_waits_for_the_actor_is_in_nobodys_queue() {
    let mut settings = Settings::default();
    // As `Config::check` allows.
    settings.limits.line = ByteSize(100_000);
    settings.outbox.limit = ByteSize(102_000);
    settings.outbox.total = ByteSize(102_000);
    let broker = Broker::start(&settings);
    let (modest, publisher) = (broker.listener("modest").await, broker.connect());
    modest.room(10);
    publisher.line(&put("modest", "1"));
    publisher.ping().await;
    let publishers: Vec<_> = (0..16).map(|_| broker.connect()).collect();
    for publisher in &publishers {
        publisher.ping().await;
    }
    for publisher in &publishers {
        publisher.line(&put("nobody listens", &format!("\"{}\"", "x".repeat(90_000))));
    }
    for publisher in &publishers {
        publisher.ping().await;
    }
    assert_eq!(broker.context.stats.snapshot().cut_total, 0, "42 bytes waited in all queues together");
    modest.room(usize::MAX / 2);
    assert_eq!(modest.ping().await, put("modest", "1") + "\n");
}

/// Was: whoever holds long unfinished lines takes the room of all others, for ever.
#[tokio::test(start_paused = true)]
async fn the_longest_unfinished_line_is_given_up() {
    let mut settings = Settings::default();
    settings.limits.unfinished_lines = ByteSize(200_000);
    let broker = Broker::start(&settings);
    let (greedy, modest) = (broker.connect(), broker.connect());
    greedy.line(r#"{"action":"ping"}"#);
    greedy.send(format!("{{\"action\":\"put\",\"stream\":\"s\",\"message\":\"{}", "x".repeat(60_000)));
    greedy.send("x".repeat(60_000));
    greedy.send("x".repeat(60_000));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    modest.send(format!("{{\"action\":\"put\",\"stream\":\"s\",\"message\":\"{}", "x".repeat(40_000)));
    modest.send("\"}\n");
    assert_eq!(modest.ping().await, "", "a line of 40 kB is refused because another client has held 180 kB for an hour");
}

/// Was: a blank line is a line: who sends one has not begun another.
#[tokio::test(start_paused = true)]
async fn a_blank_first_line_starts_no_clock() {
    let broker = Broker::start(&Settings::default());
    let peer = broker.connect();
    peer.send("\r\n");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!peer.is_closed(), "{}", peer.rest().await);
}

/// Was: and it is no part of the line that follows: `searched` promises that no unit ends in the carry.
#[tokio::test(start_paused = true)]
async fn a_blank_first_line_is_no_part_of_the_next() {
    let mut settings = Settings::default();
    settings.limits.line = ByteSize(64);
    let broker = Broker::start(&settings);
    let line = format!("{:<64}", r#"{"action":"ping"}"#);
    for pieces in [vec![format!("\n{line}\n")], vec!["\n".to_owned(), format!("{line}\n")]] {
        let peer = broker.connect();
        for piece in &pieces {
            peer.send(piece);
        }
        assert_eq!(peer.until(|bytes| bytes.ends_with(b"\n")).await, "{\"action\":\"pong\"}\n", "{pieces:?}");
    }
}

/// Was: what a reader counted is given back when its connection panics.
#[tokio::test(start_paused = true)]
async fn a_panic_leaks_no_unfinished_line() {
    let broker = Broker::start(&Settings::default());
    let peer = broker.connect();
    peer.line(r#"{"action":"ping"}"#);
    peer.send("x".repeat(50_000));
    peer.until(|bytes| bytes.ends_with(b"\n")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    peer.panic_on_read();
    peer.rest().await;
    assert_eq!(broker.context.reader.intake.received().bytes(), 0);
}

/// Was: "A refused action is answered by an error that carries the receipt", also as the last line without LF.
#[tokio::test(start_paused = true)]
async fn a_whole_last_line_is_answered_when_it_is_refused() {
    let broker = Broker::start(&Settings::default());
    let peer = broker.connect();
    peer.send(r#"{"action":"put","stream":"s","receipt":7}"#);
    peer.end_of_file();
    let text = peer.rest().await;
    assert!(text.contains("missing_message") && text.contains("\"receipt\":7"), "{text:?}");
}

/// Was: `Queue::clear` forgets what of the first frame was sent, and subtracts all of it: debug builds panic whenever
/// a connection dies with a frame sent in part.
#[tokio::test(start_paused = true)]
async fn a_listener_that_dies_in_the_midst_of_a_frame_panics_nobody() {
    let broker = Broker::start(&Settings::default());
    let (listener, publisher) = (broker.listener("s").await, broker.connect());
    listener.room(10);
    publisher.line(&put("s", "1"));
    publisher.ping().await;
    listener.reset();
    listener.rest().await;
    assert_eq!(broker.context.stats.snapshot().panics, 0);
}

/// Was: the same in the actor, which ends the broker: the second signal.
#[tokio::test(start_paused = true)]
async fn abort_in_the_midst_of_a_frame_panics_nobody() {
    let broker = Broker::start(&Settings::default());
    let (listener, publisher) = (broker.listener("s").await, broker.connect());
    listener.room(10);
    publisher.line(&put("s", "1"));
    publisher.ping().await;
    broker.context.mailbox.send(Command::Abort);
    let ended = timeout(Duration::from_secs(10), async { (listener.rest().await, publisher.rest().await) }).await;
    assert!(ended.is_ok() && !broker.actor.is_finished(), "the actor panicked");
}

/// Was: idle connections do not learn that the actor is gone; `drain` waits for them without an end.
#[tokio::test(start_paused = true)]
async fn idle_connections_end_with_the_actor() {
    let broker = Broker::start(&Settings::default());
    let (broken, publisher, idle) = (broker.listener("s").await, broker.connect(), broker.listener("t").await);
    broken.panic_on_write();
    publisher.line(&put("s", "1"));
    assert!(broker.actor.await.unwrap_err().is_panic());
    assert!(timeout(Duration::from_secs(3600), idle.rest()).await.is_ok(), "an hour later an idle listener believes that all is well");
}

/// The hand-over of writing between actor and task, on two threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hand_over_of_writing() {
    for policy in [Policy::Disconnect, Policy::Throttle] {
        let mut settings = Settings::default();
        settings.outbox.policy = policy;
        if policy == Policy::Throttle {
            settings.outbox.limit = ByteSize(300_000);
        }
        let broker = Broker::start(&settings);
        let (count, publishers) = (3000, 4);
        let listeners: Vec<_> = stalled_listeners(&broker).await;
        let publishing: Vec<_> = (0..publishers)
            .map(|number| {
                let peer = broker.connect();
                tokio::spawn(async move {
                    for seq in 0..count {
                        peer.line(&put("s", &format!("[{number},{seq}]")));
                        if seq % 7 == 0 {
                            tokio::task::yield_now().await;
                        }
                        if seq % 100 == 0 {
                            peer.ping().await;
                        }
                    }
                    peer.ping().await;
                })
            })
            .collect();
        let listening: Vec<_> = listeners
            .into_iter()
            .enumerate()
            .map(|(index, peer)| {
                tokio::spawn(async move {
                    let (mut text, mut step) = (String::new(), 1 + index);
                    while text.matches('\n').count() < publishers * count {
                        step = (step * 1_103_515_245 + 12345) % 2_147_483_648;
                        peer.room(1 + step % 997);
                        let got = timeout(Duration::from_secs(20), peer.until(|bytes| !bytes.is_empty())).await;
                        let Ok(got) = got else { panic!("stuck after {} lines", text.matches('\n').count()) };
                        assert!(!got.is_empty() || !peer.is_closed(), "closed: {}", &text[text.len().saturating_sub(200)..]);
                        text += &got;
                    }
                    text
                })
            })
            .collect();
        for task in publishing {
            task.await.unwrap();
        }
        let mut texts = Vec::new();
        for task in listening {
            texts.push(task.await.unwrap());
        }
        assert!(texts.iter().all(|text| *text == texts[0]), "listeners differ");
        for number in 0..publishers {
            let mine: Vec<_> = texts[0].lines().filter(|line| line.contains(&format!("[{number},"))).collect();
            assert!(mine.iter().enumerate().all(|(seq, line)| **line == put("s", &format!("[{number},{seq}]"))));
        }
    }
}

/// Was: whoever had not taken its answers yet when the broker stopped was called a slow listener.
#[tokio::test(start_paused = true)]
async fn one_that_takes_what_it_asked_for_is_told_of_the_stop() {
    let broker = Broker::start(&settings());
    let client = broker.connect();
    client.room(0);
    let asks: String = (0..100).map(|number| format!("{{\"action\":\"ping\",\"receipt\":{number}}}\n{}\n", put("s", "0"))).collect();
    client.send(&asks);
    assert_eq!(broker.connect().ping().await, "");
    shut_down(&broker).await;
    client.room(1 << 20);
    let told = client.rest().await;
    assert!(told.ends_with("}}\n") && told.contains("\"code\":\"shutdown\"") && !told.contains("slow_listener"), "{told}");
}
