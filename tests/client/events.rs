//! What a listener sees, each kind.

use msgstream::broker::{Address, Settings};
use msgstream::client::{Backoff, ClientError, Connection, Event, Options, RemoteStream, Start, StreamState};
use msgstream::units::ByteSize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::broker::{Broker, next, told};

#[tokio::test]
async fn a_listener_sees_the_header_the_messages_and_the_end() {
    let broker = Broker::start();
    let (job, watcher) = (broker.connect().await, broker.connect().await);

    let mut early = watcher.listen("job").await.unwrap();
    assert_eq!(early.joined().await.map(|joined| joined.state), Some(StreamState::Waiting));
    job.header("job", "at 1").await.unwrap();
    job.put("job", &1).await.unwrap();
    job.flush().await.unwrap();

    let mut late = watcher.listen("job").await.unwrap();
    assert_eq!(late.joined().await.map(|joined| joined.state), Some(StreamState::Running));
    job.put_with_header("job", &2, "at 2").await.unwrap();
    job.close_with("job", &[3]).await.unwrap();
    job.flush().await.unwrap();
    let mut after = watcher.listen("job").await.unwrap();
    assert_eq!(after.joined().await.map(|joined| joined.state), Some(StreamState::Ended));

    assert_eq!(next(&mut early, 9).await, ["1", "2", "ended [3]"]);
    assert_eq!(next(&mut late, 9).await, ["header \"at 1\"", "2", "ended [3]"]);
    assert_eq!(next(&mut after, 9).await, ["header \"at 2\"", "ended [3]"]);
}

#[tokio::test]
async fn a_listener_begins_in_what_has_been() {
    let broker = Broker::start();
    let (job, watcher) = (broker.connect().await, broker.connect().await);
    job.header("job", "begun").await.unwrap();
    for number in 1..=4 {
        job.put("job", &number).await.unwrap();
    }
    job.flush().await.unwrap();

    let mut last = watcher.listen_from("job", Start::default().last(2)).await.unwrap();
    assert_eq!(last.position(), None, "the broker has not answered");
    let joined = last.joined().await.unwrap();
    assert_eq!((joined.state, joined.resumed, joined.missed), (StreamState::Running, false, None));
    assert!(joined.age.is_some());
    assert_eq!(next(&mut last, 2).await, ["header \"begun\"", "3"]);
    let position = last.position().unwrap();
    assert_eq!((position.epoch, position.sequence), (joined.position.unwrap().epoch, 3));

    // On the same connection: what it asks for again is for it alone.
    let mut after = watcher.listen_from("job", Start::default().after(position)).await.unwrap();
    assert_eq!(after.joined().await.map(|joined| (joined.resumed, joined.position)), Some((true, Some(position))));
    let receipt = job.confirmed().put("job", &5).await.unwrap();
    job.close("job").await.unwrap();
    assert_eq!(next(&mut after, 9).await, ["4", "5", "ended"]);
    assert_eq!(next(&mut last, 9).await, ["4", "5", "ended"]);
    assert_eq!((after.position(), last.position()), (receipt.position, receipt.position));

    // Behind the end of its run, and from a run that is no more.
    let mut late = watcher.listen_from("job", Start::default().after(position)).await.unwrap();
    assert_eq!(next(&mut late, 9).await, ["4", "5", "ended"]);
    job.header("job", "begun again").await.unwrap();
    job.put("job", &6).await.unwrap();
    job.flush().await.unwrap();
    let mut other = watcher.listen_from("job", Start::default().after(position).last(1)).await.unwrap();
    assert_eq!(next(&mut other, 3).await, ["reconnected", "header \"begun again\"", "6"]);
}

#[tokio::test]
async fn many_streams_over_one_connection() {
    let broker = Broker::start();
    let (job, watcher) = (broker.connect().await, broker.connect().await);
    let mut listeners = Vec::new();
    for number in 0..100 {
        listeners.push(watcher.listen(&format!("job {number}")).await.unwrap());
    }
    watcher.flush().await.unwrap();
    for round in 0..3 {
        for number in 0..100 {
            job.put(&format!("job {number}"), &(number * 10 + round)).await.unwrap();
        }
    }
    for number in 0..100 {
        job.delete(&format!("job {number}")).await.unwrap();
    }
    for (number, listener) in listeners.iter_mut().enumerate() {
        let expected: Vec<String> = (0..3).map(|round| (number * 10 + round).to_string()).chain(["ended".to_owned()]).collect();
        assert_eq!(next(listener, 9).await, expected, "{}", listener.stream());
    }
}

#[tokio::test]
async fn a_listener_that_is_dropped_hangs_up_and_can_listen_again() {
    let broker = Broker::start();
    let (job, watcher) = (broker.connect().await, broker.connect().await);
    let one = watcher.listen("job").await.unwrap();
    let mut other = watcher.listen("job").await.unwrap();
    watcher.flush().await.unwrap();
    assert_eq!(job.confirmed().put("job", &1).await.unwrap().listeners, Some(1), "two listeners share one connection");
    drop(one);
    watcher.flush().await.unwrap();
    assert_eq!(job.confirmed().put("job", &2).await.unwrap().listeners, Some(1), "one still listens");
    assert_eq!(next(&mut other, 2).await, ["1", "2"]);
    drop(other);
    watcher.flush().await.unwrap();
    assert_eq!(job.confirmed().put("job", &3).await.unwrap().listeners, Some(0));

    let mut again = watcher.listen("job").await.unwrap();
    watcher.flush().await.unwrap();
    job.put("job", &4).await.unwrap();
    assert_eq!(next(&mut again, 1).await, ["4"]);
    watcher.hangup("job").await.unwrap();
    assert_eq!(next(&mut again, 9).await, ["cut off: hangup"]);
}

#[tokio::test]
async fn a_unix_socket_is_as_good() {
    let path = std::env::temp_dir().join(format!("msgstream-client-{}", std::process::id()));
    let broker = Broker::start_with(&[Address::Unix(path)], &Settings::default());
    let client = broker.connect().await;
    let mut listener = client.listen("job").await.unwrap();
    client.put("job", &1).await.unwrap();
    assert_eq!(next(&mut listener, 1).await, ["1"]);
}

#[tokio::test]
async fn a_broker_that_stops_says_so() {
    let mut broker = Broker::start();
    let client = broker.connect().await;
    let mut listener = client.listen("job").await.unwrap();
    client.put("job", &1).await.unwrap();
    client.flush().await.unwrap();
    broker.stop();
    assert_eq!(next(&mut listener, 9).await, ["1", "cut off: shutdown"]);
    assert!(matches!(client.put("job", &2).await, Err(ClientError::Lost(_))));
}

#[tokio::test]
async fn a_broker_that_is_gone_is_a_lost_connection_not_an_end() {
    let mut broker = Broker::start();
    let client = broker.connect().await;
    let mut listener = client.listen("job").await.unwrap();
    client.flush().await.unwrap();
    broker.kill();
    assert_eq!(next(&mut listener, 9).await, ["lost"]);
    assert!(matches!(client.flush().await, Err(ClientError::Lost(_))));
    assert!(matches!(client.listen("job").await, Err(ClientError::Lost(_))));
}

#[tokio::test]
async fn a_listener_too_slow_for_its_own_queue_is_cut_off_alone() {
    let broker = Broker::start();
    let options = Options::default().listener_queue(ByteSize(20_000));
    let client = RemoteStream::connect_with(broker.address.to_string().parse().unwrap(), options).await.unwrap();
    let mut slow = client.listen("job").await.unwrap();
    let mut other = client.listen("other").await.unwrap();
    for number in 0..1000 {
        client.put("job", &number).await.unwrap();
    }
    client.put("other", "here").await.unwrap();
    client.flush().await.unwrap();
    let seen = next(&mut slow, 2000).await;
    let (last, before) = seen.split_last().unwrap();
    assert_eq!(last, "cut off: slow_listener");
    assert!(before.len() > 10 && before.len() < 900, "{}", before.len());
    assert!(before.iter().enumerate().all(|(number, message)| *message == number.to_string()), "contiguous up to the cut");
    assert_eq!(next(&mut other, 1).await, ["\"here\""]);
    assert_eq!(client.confirmed().put("job", &0).await.unwrap().listeners, Some(0), "it was hung up at the broker too");
}

/// Receiving is not delivering: a listener that its own program forgets fills its inbox and no more, and what the same client
/// publishes goes on, with its receipts.
#[tokio::test]
async fn a_listener_that_is_never_drained_holds_up_nothing_that_its_client_publishes() {
    const INBOX: usize = 20_000;
    let broker = Broker::start();
    let options = Options::default().queue(ByteSize(2_000)).listener_queue(ByteSize(INBOX)).reconnect(Backoff::default());
    let client = RemoteStream::connect_with(broker.address.to_string().parse().unwrap(), options).await.unwrap();
    let mut forgotten = client.listen("job").await.unwrap();
    let message = "x".repeat(1_000);
    for round in 0..200 {
        client.put("job", &message).await.unwrap();
        let receipt = client.confirmed().put("job", &round).await.unwrap();
        assert!(receipt.listeners.is_some_and(|count| count <= 1));
    }
    client.flush().await.unwrap();
    assert_eq!(*client.connection().borrow(), Connection::Connected);
    assert_eq!(client.waiting(), 0);
    assert_eq!(client.confirmed().put("job", &0).await.unwrap().listeners, Some(0), "it was hung up");
    let seen = next(&mut forgotten, 1000).await;
    assert_eq!(seen.last().map(String::as_str), Some("cut off: slow_listener"));
    assert!(seen.iter().map(String::len).sum::<usize>() <= INBOX, "{} events", seen.len());
}

#[tokio::test]
async fn who_listens_to_too_much_is_refused() {
    let limits = msgstream::broker::Limits::default().listens(1);
    let broker = Broker::start_with(&["127.0.0.1:0".parse().unwrap()], &Settings::default().limits(limits));
    let client = broker.connect().await;
    let mut one = client.listen("one").await.unwrap();
    let mut other = client.listen("other").await.unwrap();
    assert_eq!(other.joined().await, None);
    assert_eq!(next(&mut other, 9).await, ["cut off: limit"]);
    client.put("one", &1).await.unwrap();
    assert_eq!(next(&mut one, 1).await, ["1"]);
}

#[tokio::test]
async fn what_is_no_broker_is_named() {
    let imposter = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = imposter.local_addr().unwrap().to_string();
    let client = RemoteStream::connect(&address).await.unwrap();
    let mut listener = client.listen("job").await.unwrap();
    let (mut socket, _) = imposter.accept().await.unwrap();
    socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    match listener.next().await.unwrap() {
        Event::Lost { reason } => assert!(reason.contains("is not a msgstream broker; it sent \"HTTP/1.1 400 Bad Request\""), "{reason}"),
        other => panic!("{}", told(&other)),
    }

    drop(imposter);
    let refused = RemoteStream::connect(&address).await.unwrap_err().to_string();
    assert!(refused.starts_with(&format!("cannot connect to {address}: ")), "{refused}");
}

/// A peer that never ends a line does not take all memory.
#[tokio::test]
async fn a_line_without_end_is_no_line_of_a_broker() {
    let imposter = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = Options::default().longest_line(ByteSize(100_000));
    let client = RemoteStream::connect_with(imposter.local_addr().unwrap().to_string().parse().unwrap(), options).await.unwrap();
    let mut listener = client.listen("job").await.unwrap();
    let (mut socket, _) = imposter.accept().await.unwrap();
    socket.write_all(&vec![b' '; 100_001]).await.unwrap();
    match listener.next().await.unwrap() {
        Event::Lost { reason } => assert!(reason.contains("Options::longest_line"), "{reason}"),
        other => panic!("{}", told(&other)),
    }
}

/// Whatever is sent as raw JSON arrives byte for byte, and so does what other clients send.
#[tokio::test]
async fn content_is_verbatim() {
    let broker = Broker::start();
    let client = broker.connect().await;
    let mut listener = client.listen("job").await.unwrap();
    client.flush().await.unwrap();
    let odd = r#"{ "b":1.10,"a" : 1e400, "a":18446744073709551617,"t":"\u0041\/é" }"#;
    let mut socket = TcpStream::connect(broker.socket()).await.unwrap();
    let line = format!("{{\"action\":\"put\",\"stream\":\"job\",\"message\":{odd}}}\n{{\"action\":\"ping\"}}\n");
    socket.write_all(line.as_bytes()).await.unwrap();
    assert!(socket.read_u8().await.is_ok());
    let raw: Box<serde_json::value::RawValue> = serde_json::from_str(odd).unwrap();
    client.put("job", &raw).await.unwrap();
    assert_eq!(next(&mut listener, 2).await, [odd, odd]);
}
