//! Flush, receipts, refusals, back-pressure.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use msgstream::client::{Backoff, ClientError, Options, Receipt, RemoteStream};
use msgstream::job::NonFinite;
use msgstream::units::ByteSize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::broker::{Broker, next};

#[tokio::test]
async fn flush_returns_when_all_has_taken_effect() {
    let broker = Broker::start();
    let (job, watcher) = (broker.connect().await, broker.connect().await);
    let mut listener = watcher.listen("job").await.unwrap();
    watcher.flush().await.unwrap();
    for number in 0..10_000 {
        job.put("job", &number).await.unwrap();
    }
    job.header("job", "done").await.unwrap();
    job.flush().await.unwrap();
    let mut late = watcher.listen("job").await.unwrap();
    assert_eq!(next(&mut late, 1).await, ["header \"done\""]);
    let expected: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    assert_eq!(next(&mut listener, 10_000).await, expected);
}

/// A program that ends after `flush` has lost nothing, however suddenly it ends.
#[test]
fn nothing_is_lost_when_the_program_ends_after_flush() {
    let broker = Broker::start();
    let watching = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (_watcher, mut listener) = watching.block_on(async {
        let watcher = broker.connect().await;
        let listener = watcher.listen("job").await.unwrap();
        watcher.flush().await.unwrap();
        (watcher, listener)
    });
    let program = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    program.block_on(async {
        let job = broker.connect().await;
        for number in 0..1000 {
            job.put("job", &number).await.unwrap();
        }
        job.flush().await.unwrap();
    });
    drop(program);
    let seen = watching.block_on(next(&mut listener, 1000));
    assert_eq!(seen, (0..1000).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_queued_is_sent_after_the_last_handle_is_dropped() {
    let broker = Broker::start();
    let watcher = broker.connect().await;
    let mut listener = watcher.listen("job").await.unwrap();
    watcher.flush().await.unwrap();
    let job = broker.connect().await;
    for number in 0..1000 {
        job.put("job", &number).await.unwrap();
    }
    drop(job);
    assert_eq!(next(&mut listener, 1000).await.len(), 1000);

    let job = broker.connect().await;
    job.close("job").await.unwrap();
    job.disconnect().await.unwrap();
    assert_eq!(next(&mut listener, 9).await, ["ended"]);
}

#[tokio::test]
async fn receipts_tell_how_many_were_reached() {
    let broker = Broker::start();
    let (job, one, other) = (broker.connect().await, broker.connect().await, broker.connect().await);
    let _listening = (one.listen("job").await.unwrap(), other.listen("job").await.unwrap());
    one.flush().await.unwrap();
    other.flush().await.unwrap();
    let confirmed = job.confirmed();
    assert_eq!(confirmed.put("job", &1).await.unwrap().listeners, Some(2));
    assert_eq!(confirmed.put("nobody", &1).await.unwrap().listeners, Some(0));
    assert_eq!(confirmed.header("job", &1).await.unwrap().listeners, None);
    assert_eq!(confirmed.put_with_header("job", &1, &2).await.unwrap().listeners, Some(2));
    assert_eq!(confirmed.close("job").await.unwrap().listeners, Some(2));
    assert_eq!(confirmed.close_with("job", &1).await.unwrap().listeners, Some(0));
    assert_eq!(confirmed.delete("job").await.unwrap().listeners, Some(0));
}

#[tokio::test]
async fn an_action_for_one_run_touches_no_other() {
    let broker = Broker::start();
    let (job, other) = (broker.connect().await, broker.connect().await);
    let of = |receipt: Receipt| receipt.position.unwrap().epoch;
    let first = of(job.confirmed().header_if_absent("job", "mine").await.unwrap());
    let mut listener = other.listen("job").await.unwrap();
    other.flush().await.unwrap();
    let absent = other.confirmed().header_if_absent("job", "theirs").await;
    assert!(matches!(absent, Err(ClientError::Stale(reason)) if reason.code == "stale"));
    let run = job.confirmed().of(first);
    assert_eq!(of(run.header("job", "at 0").await.unwrap()), first);
    assert_eq!(run.put("job", &1).await.unwrap().listeners, Some(1));
    assert_eq!(run.put_with_header("job", &2, "at 2").await.unwrap().position.unwrap().sequence, 2);
    run.close_with("job", &3).await.unwrap();
    assert_eq!(next(&mut listener, 9).await, ["header \"mine\"", "1", "2", "ended 3"]);

    assert!(matches!(run.header("job", "too late").await, Err(ClientError::Stale(_))));
    assert!(matches!(job.confirmed().header_if_absent("job", "ended").await, Err(ClientError::Stale(_))));
    let second = of(other.confirmed().header("job", "theirs").await.unwrap());
    let mut listener = other.listen("job").await.unwrap();
    other.flush().await.unwrap();
    assert!(matches!(run.put("job", &4).await, Err(ClientError::Stale(_))));
    assert!(matches!(run.put_with_header("job", &4, &4).await, Err(ClientError::Stale(_))));
    assert!(matches!(run.close("job").await, Err(ClientError::Stale(_))));
    assert!(matches!(run.delete("job").await, Err(ClientError::Stale(_))));
    other.confirmed().of(second).delete("job").await.unwrap();
    assert_eq!(next(&mut listener, 9).await, ["header \"theirs\"", "ended"]);
    job.flush().await.expect("who waited for an action was told");
}

#[tokio::test]
async fn what_the_broker_refuses_is_told_once() {
    let broker = Broker::start();
    let job = broker.connect().await;
    let denied = |error: ClientError| match error {
        ClientError::Denied(reason) => assert_eq!(reason.code, "denied"),
        other => panic!("{other}"),
    };
    job.put("$sys", &1).await.unwrap();
    job.put("job", &2).await.unwrap();
    denied(job.flush().await.unwrap_err());
    job.flush().await.unwrap();
    denied(job.confirmed().put("$sys", &1).await.unwrap_err());
    assert!(matches!(job.put("", &1).await, Err(ClientError::EmptyName)));
    assert!(matches!(job.listen("").await, Err(ClientError::EmptyName)));
}

#[tokio::test]
async fn a_number_that_json_does_not_have_is_refused_by_name() {
    let broker = Broker::start();
    let job = broker.connect().await;
    let error = job.put("job", &BTreeMap::from([("loss", f64::NAN)])).await.unwrap_err().to_string();
    assert!(error.starts_with("loss is NaN, which JSON does not have"), "{error}");

    let options = Options::default().non_finite(NonFinite::Null);
    let lax = RemoteStream::connect_with(broker.address.to_string().parse().unwrap(), options).await.unwrap();
    let mut listener = lax.listen("job").await.unwrap();
    lax.put("job", &[f64::NAN, 1.0]).await.unwrap();
    assert_eq!(next(&mut listener, 1).await, ["[null,1.0]"]);
}

/// What was refused is not lost with a flush that nobody waits for any more.
#[tokio::test]
async fn a_flush_that_is_dropped_leaves_the_refusal_for_the_next() {
    let broker = Broker::start();
    let job = broker.connect().await;
    job.put("$sys", &1).await.unwrap();
    {
        let mut dropped = pin!(job.flush());
        assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert!(matches!(job.flush().await, Err(ClientError::Denied(_))));
}

/// Listening, too, waits for room: a program that listens and hangs up again and again, while nobody reads, would
/// otherwise take all memory.
#[tokio::test]
async fn listening_waits_for_room() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let options = Options::default().queue(ByteSize(1_000)).reconnect(Backoff::default());
    let client = RemoteStream::start(nobody.parse().unwrap(), options);
    let mut listened = 0;
    // Nothing is awaited, so that the connection's task does not run.
    while let Poll::Ready(listener) = pin!(client.listen("job")).poll(&mut Context::from_waker(Waker::noop())) {
        drop(listener.unwrap());
        listened += 1;
        assert!(listened < 1_000, "nothing held it back");
    }
    assert!(listened > 1);
}

/// A peer that reads nothing until told to, so that everything beyond the sockets' buffers has to wait.
#[tokio::test]
async fn publishing_waits_for_room_and_goes_on_when_there_is_some() {
    let sluggish = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = Options::default().queue(ByteSize(10_000));
    let address = sluggish.local_addr().unwrap().to_string().parse().unwrap();
    let job = RemoteStream::connect_with(address, options).await.unwrap();
    let (socket, _) = sluggish.accept().await.unwrap();
    let message = "x".repeat(5_000);
    let mut sent = 0;
    // Polled by hand: as soon as one is not ready although the connection has written all it could, it waits for room.
    let mut stalled = 0;
    while stalled < 1000 {
        match job.try_put("job", &message) {
            Ok(()) => (sent, stalled) = (sent + 1, 0),
            Err(ClientError::Full) => {
                stalled += 1;
                tokio::task::yield_now().await;
            }
            Err(other) => panic!("{other}"),
        }
    }
    {
        let mut waits = pin!(job.put("job", &message));
        assert!(matches!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending), "there is no room");
    }
    let (read, mut write) = socket.into_split();
    let mut lines = BufReader::new(read).lines();
    let reading = tokio::spawn(async move {
        let mut puts = 0;
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.starts_with(r#"{"action":"put""#) {
                puts += 1;
            } else {
                let receipt: serde_json::Value = serde_json::from_str(&line).unwrap();
                write.write_all(format!("{{\"action\":\"pong\",\"receipt\":{}}}\n", receipt["receipt"]).as_bytes()).await.unwrap();
            }
        }
        puts
    });
    for _ in 0..100 {
        job.put("job", &message).await.unwrap();
        sent += 1;
    }
    job.flush().await.unwrap();
    job.disconnect().await.unwrap();
    assert_eq!(reading.await.unwrap(), sent);
}

/// The broker does not take a second copy of what its own client builds: every put is in the form that passes as it stands.
#[tokio::test]
async fn a_put_is_written_as_listeners_get_it() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let job = RemoteStream::connect(&peer.local_addr().unwrap().to_string()).await.unwrap();
    job.put("jo\"b", &(1, "two")).await.unwrap();
    let (mut socket, _) = peer.accept().await.unwrap();
    let expected = "{\"action\":\"put\",\"stream\":\"jo\\\"b\",\"message\":[1,\"two\"]}\n";
    let mut got = vec![0; expected.len()];
    socket.read_exact(&mut got).await.unwrap();
    assert_eq!(String::from_utf8(got).unwrap(), expected);
}

/// One line that no broker takes costs nothing that waits before it, and is named with the limit.
#[tokio::test]
async fn what_is_too_long_is_refused_where_it_is_put() {
    let broker = Broker::start();
    let options = Options::default().longest_action(ByteSize(100));
    let client = RemoteStream::connect_with(broker.address.to_string().parse().unwrap(), options).await.unwrap();
    let mut listener = client.listen("job").await.unwrap();
    client.put("job", "before").await.unwrap();
    let long = "x".repeat(100);
    let error = client.put("job", &long).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLong { limit: ByteSize(100), .. }), "{error}");
    assert!(error.to_string().contains("100 bytes"), "{error}");
    assert!(matches!(client.confirmed().header("job", &long).await, Err(ClientError::TooLong { .. })));
    // Just as long as it may be.
    client.put("job", &"x".repeat(100 - r#"{"action":"put","stream":"job","message":""}"#.len())).await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(next(&mut listener, 2).await.len(), 2);
}
