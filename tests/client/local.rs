//! The broker inside a program: alone, and beside a server on the same streams.

use std::sync::mpsc;
use std::time::Duration;

use msgstream::broker::Settings;
use msgstream::client::{Event, RemoteStream, Start, StreamState};
use msgstream::local::{Listener, LocalError, MessageStream, NotTaken};
use msgstream::units::ByteSize;
use tokio::sync::oneshot;

use crate::broker::{next, told};

/// All that comes until the channel closes.
async fn rest(receiver: &mut tokio::sync::mpsc::Receiver<Event>) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(event) = receiver.recv().await {
        seen.push(told(&event));
    }
    seen
}

#[tokio::test]
async fn every_kind_of_listener_sees_the_same() {
    let broker = MessageStream::new();
    broker.header("job", "header").await.unwrap();
    let (bounded, mut from_bounded) = tokio::sync::mpsc::channel(10);
    let (unbounded, mut from_unbounded) = tokio::sync::mpsc::unbounded_channel();
    let (std_sender, from_std) = mpsc::channel();
    let (sync_sender, from_sync) = mpsc::sync_channel(10);
    let (noted, from_closure) = mpsc::channel();
    broker.listen("job", bounded).await.unwrap();
    broker.listen("job", unbounded).await.unwrap();
    broker.listen("job", std_sender).await.unwrap();
    broker.listen("job", sync_sender).await.unwrap();
    broker.listen("job", move |event| noted.send(event).unwrap()).await.unwrap();
    broker.put("job", &1).await.unwrap();
    assert_eq!(broker.put_with_header("job", &2, "later").await.unwrap().listeners, Some(5));
    assert_eq!(broker.close_with("job", &3).await.unwrap().listeners, Some(5));

    let expected = ["header \"header\"", "1", "2", "ended 3"];
    assert_eq!(rest(&mut from_bounded).await, expected);
    let mut seen = Vec::new();
    while let Some(event) = from_unbounded.recv().await {
        seen.push(told(&event));
    }
    assert_eq!(seen, expected);
    for receiver in [from_std, from_sync, from_closure] {
        // They have it all already: the actor has handed it over before it answered.
        assert_eq!(receiver.try_iter().map(|event| told(&event)).collect::<Vec<_>>(), expected);
    }

    let (late, mut from_late) = tokio::sync::mpsc::channel(10);
    broker.listen("job", late).await.unwrap();
    assert_eq!(rest(&mut from_late).await, ["header \"later\"", "ended 3"]);
    assert_eq!(broker.delete("job").await.unwrap().listeners, Some(0));
}

#[tokio::test]
async fn a_listener_begins_in_what_has_been_and_knows_where_it_is() {
    let broker = MessageStream::new();
    broker.header("job", "begun").await.unwrap();
    for number in 1..=4 {
        broker.put("job", &number).await.unwrap();
    }
    let (sender, mut receiver) = tokio::sync::mpsc::channel(10);
    let last = broker.listen_from("job", Start::default().last(2), sender).await.unwrap();
    let joined = last.joined().await.unwrap();
    assert_eq!((joined.state, joined.resumed, joined.position.unwrap().sequence), (StreamState::Running, false, 2));
    assert!(joined.age.is_some());
    broker.flush().await.unwrap();
    let position = last.position().unwrap();
    assert_eq!(position.sequence, 4);
    let receipt = broker.confirmed().put("job", &5).await.unwrap();
    assert_eq!((receipt.listeners, receipt.position.unwrap().sequence), (Some(1), 5));
    broker.close("job").await.unwrap();
    assert_eq!(rest(&mut receiver).await, ["header \"begun\"", "3", "4", "5", "ended"]);
    assert_eq!(last.position(), receipt.position);

    let (sender, mut receiver) = tokio::sync::mpsc::channel(10);
    let after = broker.listen_from("job", Start::default().after(position), sender).await.unwrap();
    assert_eq!(rest(&mut receiver).await, ["5", "ended"]);
    assert_eq!(after.joined().await.map(|joined| (joined.state, joined.resumed)), Some((StreamState::Ended, true)));

    broker.header("job", "begun again").await.unwrap();
    let (sender, mut receiver) = tokio::sync::mpsc::channel(10);
    let other = broker.listen_from("job", Start::default().after(position), sender).await.unwrap();
    broker.close("job").await.unwrap();
    assert_eq!(rest(&mut receiver).await, ["reconnected", "header \"begun again\"", "ended"]);
    assert_eq!(other.joined().await.map(|joined| joined.resumed), Some(false));
}

/// A listener counts what it has accepted.
#[tokio::test]
async fn what_a_listener_does_not_take_is_not_counted() {
    let broker = MessageStream::new();
    let (sender, _receiver) = tokio::sync::mpsc::channel(2);
    let listening = broker.listen("job", sender).await.unwrap();
    for number in 1..=3 {
        broker.put("job", &number).await.unwrap();
    }
    broker.flush().await.unwrap();
    assert_eq!(listening.position().map(|position| position.sequence), Some(2));

    let (limited, _receiver) = tokio::sync::mpsc::channel(2);
    let settings = Settings::default().limits(msgstream::broker::Limits::default().streams(1));
    let full = MessageStream::with_settings(&settings);
    full.header("job", &1).await.unwrap();
    let refused = full.listen("other", limited).await.unwrap();
    assert_eq!(refused.joined().await, None);
}

#[tokio::test]
async fn an_action_for_one_run_touches_no_other() {
    let broker = MessageStream::new();
    let first = broker.confirmed().header_if_absent("job", "mine").await.unwrap().position.unwrap().epoch;
    let run = broker.confirmed().of(first);
    assert!(matches!(broker.confirmed().header_if_absent("job", "too").await, Err(LocalError::Stale(reason)) if reason.code == "stale"));
    run.header("job", "at 0").await.unwrap();
    assert_eq!(run.put("job", &1).await.unwrap().position.unwrap().sequence, 1);
    assert_eq!(run.put_with_header("job", &2, "at 2").await.unwrap().position.unwrap().sequence, 2);
    run.close_with("job", &3).await.unwrap();
    broker.header("job", "begun again").await.unwrap();
    assert!(matches!(run.header("job", "too late").await, Err(LocalError::Stale(_))));
    assert!(matches!(run.put("job", &4).await, Err(LocalError::Stale(_))));
    assert!(matches!(run.put_with_header("job", &4, &4).await, Err(LocalError::Stale(_))));
    assert!(matches!(run.close("job").await, Err(LocalError::Stale(_))));
    assert!(matches!(run.delete("job").await, Err(LocalError::Stale(_))));
    let (sender, receiver) = mpsc::channel();
    broker.listen("job", sender).await.unwrap();
    broker.confirmed().close("job").await.unwrap();
    assert_eq!(receiver.try_iter().map(|event| told(&event)).collect::<Vec<_>>(), ["header \"begun again\"", "ended"]);
}

#[tokio::test]
async fn a_full_channel_is_cut_off_and_told_and_nobody_waits_for_it() {
    let broker = MessageStream::new();
    let (narrow, mut from_narrow) = tokio::sync::mpsc::channel(3);
    let (wide, from_wide) = mpsc::channel();
    let slow = broker.listen("job", narrow).await.unwrap();
    broker.listen("job", wide).await.unwrap();
    for number in 0..1000 {
        broker.put("job", &number).await.unwrap();
    }
    slow.ended().await;
    assert_eq!(broker.close("job").await.unwrap().listeners, Some(1));
    assert_eq!(rest(&mut from_narrow).await, ["0", "1", "2", "cut off: slow_listener"]);
    assert_eq!(from_wide.try_iter().count(), 1001);
}

/// The end comes in the same write as the message that there was no room for: the receiver must not take the closed channel
/// for an end of the stream.
#[tokio::test]
async fn a_full_channel_is_told_also_if_the_stream_ends_at_once() {
    let broker = MessageStream::new();
    let (narrow, mut from_narrow) = tokio::sync::mpsc::channel(1);
    broker.listen("job", narrow).await.unwrap();
    broker.flush().await.unwrap();
    // None of these waits, so that the broker finds them all at once.
    broker.put("job", &1).await.unwrap();
    broker.put("job", &2).await.unwrap();
    broker.close("job").await.unwrap();
    assert_eq!(rest(&mut from_narrow).await, ["1", "cut off: slow_listener"]);

    // And so with the header of a stream that has ended, for a channel that something else has filled.
    broker.header("ended", &1).await.unwrap();
    broker.close("ended").await.unwrap();
    let (narrow, mut from_narrow) = tokio::sync::mpsc::channel(1);
    narrow.try_send(Event::Ended { message: None }).unwrap();
    broker.listen("ended", narrow).await.unwrap();
    broker.flush().await.unwrap();
    assert_eq!(rest(&mut from_narrow).await, ["ended", "cut off: slow_listener"]);
}

#[tokio::test]
async fn whoever_hangs_up_panics_or_goes_is_forgotten() {
    let broker = MessageStream::new();
    let (one, from_one) = mpsc::channel();
    let (other, from_other) = mpsc::channel();
    let first = broker.listen("job", one).await.unwrap();
    let second = broker.listen("job", other).await.unwrap();
    broker.put("job", &1).await.unwrap();
    broker.flush().await.unwrap();
    broker.hangup(&first).await;
    broker.hangup(&first).await;
    broker.put("job", &2).await.unwrap();
    drop(from_other);
    broker.put("job", &3).await.unwrap();
    second.ended().await;
    let third = broker.listen("job", |_| panic!("planted: a listener that panics")).await.unwrap();
    broker.put("job", &4).await.unwrap();
    third.ended().await;
    assert_eq!(broker.close("job").await.unwrap().listeners, Some(0));
    assert_eq!(from_one.iter().map(|event| told(&event)).collect::<Vec<_>>(), ["1"]);
}

#[tokio::test]
async fn a_type_of_the_programs_own_may_listen() {
    struct Sum(i64, Option<oneshot::Sender<i64>>);
    impl Listener for Sum {
        fn put(&mut self, event: Event) -> Result<(), NotTaken> {
            if let Event::Message(content) = event {
                self.0 += content.parse::<i64>().map_err(|_| NotTaken::Gone)?;
            }
            Ok(())
        }

        fn close(&mut self, _: Event) {
            let _ = self.1.take().map(|told| told.send(self.0));
        }
    }
    let broker = MessageStream::new();
    let (told, sum) = oneshot::channel();
    broker.listen("job", Sum(0, Some(told))).await.unwrap();
    for number in 1..=100 {
        broker.put("job", &number).await.unwrap();
    }
    broker.close("job").await.unwrap();
    assert_eq!(sum.await.unwrap(), 5050);
}

#[tokio::test]
async fn what_is_refused_is_told() {
    let limits = msgstream::broker::Limits::default().streams(1).header(ByteSize(10)).line(ByteSize(200));
    let broker = MessageStream::with_settings(&Settings::default().limits(limits));
    let code = |result: Result<(), LocalError>| match result.unwrap_err() {
        LocalError::Refused(reason) => reason.code,
        other => panic!("{other}"),
    };
    broker.header("job", &1).await.unwrap();
    assert_eq!(code(broker.header("another", &1).await), "limit");
    assert_eq!(code(broker.header("job", "far too long for it").await), "limit");
    assert_eq!(code(broker.put("$sys", &1).await), "denied");
    assert_eq!(code(broker.put("", &1).await), "bad_stream");
    assert_eq!(code(broker.put("job", &"x".repeat(200)).await), "line_too_long");
    assert_eq!(code(broker.close_with("job", &"x".repeat(200)).await.map(|_| ())), "line_too_long");
    assert_eq!(code(broker.close_with("job", "far too long for it").await.map(|_| ())), "limit");
    assert!(matches!(broker.put("job", &f64::NAN).await, Err(LocalError::Encode(_))));
    let lax = broker.non_finite(msgstream::job::NonFinite::Null);
    lax.put("job", &f64::NAN).await.unwrap();

    let (sender, mut receiver) = tokio::sync::mpsc::channel(9);
    broker.listen("another", sender).await.unwrap();
    assert_eq!(rest(&mut receiver).await, ["cut off: limit"]);
}

/// What a local and a remote listener see of streams that are published on from both sides is the same, to the byte.
#[tokio::test]
async fn a_local_and_a_remote_listener_see_the_same() {
    let broker = MessageStream::new();
    let server = broker.serve(&["127.0.0.1:0".parse().unwrap()], &Settings::default()).unwrap();
    let address = server.addresses()[0].to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async move { drop(stopped.await) }, std::future::pending()));
    let remote = RemoteStream::connect(&address).await.unwrap();

    broker.header("job", "from within").await.unwrap();
    let (here, mut from_here) = tokio::sync::mpsc::channel(10_000);
    broker.listen("job", here).await.unwrap();
    let mut there = remote.listen("job").await.unwrap();
    remote.flush().await.unwrap();
    let (local, publisher) = (broker.clone(), remote.clone());
    let from_within = tokio::spawn(async move {
        for number in 0..500 {
            local.put("job", &("within", number)).await.unwrap();
        }
    });
    let from_without = tokio::spawn(async move {
        for number in 0..500 {
            publisher.put("job", &("without", number)).await.unwrap();
        }
        publisher.flush().await.unwrap();
    });
    from_within.await.unwrap();
    from_without.await.unwrap();
    assert_eq!(broker.close_with("job", "done").await.unwrap().listeners, Some(2));

    let local = rest(&mut from_here).await;
    assert_eq!(local.len(), 1002);
    assert_eq!((&*local[0], &*local[1001]), ("header \"from within\"", "ended \"done\""));
    assert_eq!(next(&mut there, 2000).await, local);

    // When the server stops it stops the broker, and says so to both.
    let (here, mut from_here) = tokio::sync::mpsc::channel(10);
    broker.listen("other", here).await.unwrap();
    let mut there = remote.listen("other").await.unwrap();
    remote.flush().await.unwrap();
    stop.send(()).unwrap();
    assert_eq!(rest(&mut from_here).await, ["cut off: shutdown"]);
    assert_eq!(next(&mut there, 9).await, ["cut off: shutdown"]);
    serving.await.unwrap().unwrap();
    assert!(matches!(broker.flush().await, Err(LocalError::Ended)));
}

/// Calls of one program have their order, also between those who publish and those who listen: what is put after a `listen` has
/// returned reaches it, and what was put before does not.
#[tokio::test]
async fn listening_has_its_place_among_what_is_put() {
    let broker = MessageStream::new();
    for round in 0..200 {
        // The publisher has much behind it, so that its share is used up and others come first.
        for _ in 0..round % 7 * 10 {
            broker.put("other", &"x".repeat(100)).await.unwrap();
        }
        let stream = format!("job-{round}");
        let (sender, mut receiver) = tokio::sync::mpsc::channel(10);
        broker.put(&stream, &1).await.unwrap();
        broker.listen(&stream, sender).await.unwrap();
        broker.put(&stream, &2).await.unwrap();
        broker.close(&stream).await.unwrap();
        assert!(matches!(receiver.recv().await, Some(Event::Message(message)) if message == "2"), "round {round}");
        assert!(matches!(receiver.recv().await, Some(Event::Ended { message: None })));
    }
}

/// A listener that is given much at once is no reason for its program's publisher to wait.
// Seen to fail: the publisher waited for room in the listener's queue, and nothing told it of that.
#[tokio::test(start_paused = true)]
async fn a_header_that_fills_a_listeners_queue_holds_no_publisher_up() {
    let mut settings = Settings::default();
    settings.outbox.limit = ByteSize(1000);
    let broker = MessageStream::with_settings(&settings);
    broker.header("job", &"x".repeat(900)).await.unwrap();
    let (sender, mut receiver) = tokio::sync::mpsc::channel(10);
    broker.listen("job", sender).await.unwrap();
    broker.put("job", &1).await.unwrap();
    let flushed = tokio::time::timeout(Duration::from_secs(1), broker.flush());
    flushed.await.expect("nobody goes on").unwrap();
    assert!(matches!(receiver.try_recv(), Ok(Event::Header(_))));
    assert!(matches!(receiver.try_recv(), Ok(Event::Message(message)) if message == "1"));
}
