//! A broker that is killed and comes back, one that is silent, one that turns away.

use std::time::Duration;

use msgstream::client::{Backoff, ClientError, Connection, Event, Options, RemoteStream};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::broker::{Broker, next, told};
use crate::peer::{Peer, receipt_in};
use crate::proxy::Proxy;

pub(crate) fn patient() -> Options {
    let backoff = Backoff::default().first(Duration::from_millis(1)).longest(Duration::from_millis(50));
    Options::default().reconnect(backoff)
}

/// For a broker that knows no sessions.
pub(crate) fn forgetful() -> Options {
    patient().session(false)
}

async fn connect(broker: &Broker) -> RemoteStream {
    RemoteStream::connect_with(broker.address.to_string().parse().unwrap(), patient()).await.unwrap()
}

/// Both sides go on through two deaths of the broker. Every number that the job sent and that was not sent into the gap
/// arrives, in order, and every gap is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn both_sides_go_on_when_the_broker_is_killed_and_restarted() {
    let mut broker = Broker::start();
    let (job, watcher) = (connect(&broker).await, connect(&broker).await);
    job.header("job", "the header").await.unwrap();
    job.flush().await.unwrap();
    let mut listener = watcher.listen("job").await.unwrap();
    assert_eq!(next(&mut listener, 1).await, ["header \"the header\""]);

    for round in 0..3 {
        if round > 0 {
            broker.restart();
            // The job does not care who is there: what it sends now waits for its own connection.
            job.put("job", &format!("into the gap {round}")).await.unwrap();
            job.flush().await.unwrap();
            assert_eq!(next(&mut listener, 1).await, ["reconnected"]);
            watcher.flush().await.unwrap();
        }
        for number in 0..100 {
            job.put("job", &(round * 1000 + number)).await.unwrap();
        }
        let mut seen = Vec::new();
        while seen.len() < 100 {
            // Which of both was back first decides whether the header and what was sent into the gap are seen.
            match listener.next().await.unwrap() {
                Event::Message(content) if content.as_str().starts_with('"') => {}
                Event::Header(content) => assert_eq!(content, "\"the header\""),
                other => seen.push(told(&other)),
            }
        }
        assert_eq!(seen, (0..100).map(|number| (round * 1000 + number).to_string()).collect::<Vec<_>>());
    }

    // The broker knows the header although it has forgotten everything twice.
    let mut late = watcher.listen("job").await.unwrap();
    assert_eq!(next(&mut late, 1).await, ["header \"the header\""]);
    job.close("job").await.unwrap();
    assert_eq!(next(&mut listener, 9).await, ["ended"]);
}

/// Connections that are broken off again and again: the broker still has what was missed, so the program is told nothing of it.
#[tokio::test]
async fn a_listener_misses_nothing_although_its_connection_is_reset() {
    let broker = Broker::start();
    let mut proxy = Proxy::start(broker.address.to_string()).await;
    let job = connect(&broker).await;
    let watcher = RemoteStream::connect_with(proxy.address.to_string().parse().unwrap(), patient()).await.unwrap();
    job.put_with_header("job", &0, &"the header").await.unwrap();
    job.flush().await.unwrap();
    let mut listener = watcher.listen("job").await.unwrap();
    assert_eq!(next(&mut listener, 1).await, ["header \"the header\""]);
    for round in 0..20 {
        // Some before and some after the connection is broken off.
        job.put("job", &(round * 10)).await.unwrap();
        proxy.reset();
        for number in 1..10 {
            job.put("job", &(round * 10 + number)).await.unwrap();
        }
        job.flush().await.unwrap();
        let expected: Vec<String> = (round * 10..round * 10 + 10).map(|number| number.to_string()).collect();
        assert_eq!(next(&mut listener, 10).await, expected, "round {round}");
    }
    proxy.reset();
    job.put("job", &"last").await.unwrap();
    job.close("job").await.unwrap();
    assert_eq!(next(&mut listener, 9).await, ["\"last\"", "ended"]);
}

/// The program does not wait for a broker, and what it published before there was one arrives.
#[tokio::test]
async fn a_client_may_start_before_the_broker() {
    let mut broker = Broker::start();
    broker.restart();
    let address = broker.address.to_string();
    broker.kill();
    let job = RemoteStream::start(address.parse().unwrap(), patient());
    let mut listener = job.listen("job").await.unwrap();
    job.put("job", &1).await.unwrap();
    broker.restart();
    job.flush().await.unwrap();
    assert_eq!(next(&mut listener, 1).await, ["1"]);
}

#[tokio::test]
async fn a_program_can_tell_whether_the_broker_is_there() {
    let mut broker = Broker::start();
    let client = connect(&broker).await;
    let mut connection = client.connection();
    client.flush().await.unwrap();
    for _ in 0..2 {
        connection.wait_for(|now| *now == Connection::Connected).await.unwrap();
        broker.kill();
        connection.wait_for(|now| matches!(now, Connection::Away { .. })).await.unwrap();
        broker.restart();
    }
    connection.wait_for(|now| *now == Connection::Connected).await.unwrap();
    client.disconnect().await.unwrap();
    assert!(matches!(&*connection.borrow(), Connection::Over { .. }));
}

#[tokio::test]
async fn attempts_come_to_an_end_when_asked_to() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let backoff = Backoff::default().first(Duration::from_millis(1)).longest(Duration::from_millis(1)).attempts(3);
    let client = RemoteStream::start(nobody.parse().unwrap(), Options::default().reconnect(backoff));
    match client.flush().await.unwrap_err() {
        ClientError::Lost(reason) => assert!(reason.starts_with(&format!("cannot connect to {nobody}")), "{reason}"),
        other => panic!("{other}"),
    }
}

/// A broker that greets every connection and then closes it is not asked again without a pause, and the listener hears of
/// new connections, not of attempts.
#[tokio::test]
async fn there_is_a_pause_before_every_new_connection() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let first = Duration::from_millis(40);
    let backoff = Backoff::default().first(first).longest(first);
    let options = Options::default().reconnect(backoff);
    let client = RemoteStream::connect_with(address, options).await.unwrap();
    let _listener = client.listen("job").await.unwrap();
    let began = tokio::time::Instant::now();
    for round in 0..4 {
        let (mut socket, _) = peer.accept().await.unwrap();
        assert!(began.elapsed() >= first / 2 * round, "round {round} came after {:?}", began.elapsed());
        socket.write_all(b"{\"action\":\"pong\"}\n").await.unwrap();
        socket.shutdown().await.unwrap();
    }
}

/// Seen to fail: on a network that cut each connection after some bytes, a listener waited longer and longer, until more had come meanwhile
/// than a connection could carry, and then than the broker keeps.
#[tokio::test]
async fn a_connection_that_has_brought_something_is_worth_another_soon() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let time = Duration::from_millis(100);
    let options = Options::default().session(false).reconnect(Backoff::default().first(time).longest(time).attempts(2));
    let client = RemoteStream::start(peer.local_addr().unwrap().to_string().parse().unwrap(), options);
    let mut listener = client.listen("job").await.unwrap();
    for number in 0..4 {
        let mut broker = Peer::accept(&peer).await;
        let listen = loop {
            let line = broker.lines(1).await.remove(0);
            if line.contains("\"listen\"") {
                break line;
            }
            broker.say(&line.replace("ping", "pong")).await;
        };
        let receipt = listen.split("\"receipt\":").nth(1).unwrap().split([',', '}']).next().unwrap();
        let position = format!(r#"{{"epoch":"000000000000000a","sequence":{number}}}"#);
        let resumed = if number > 0 { r#","resumed":true"# } else { "" };
        broker.say(&format!(r#"{{"action":"receipt","receipt":{receipt},"state":"waiting"{resumed},"position":{position}}}"#)).await;
        broker.say(&format!(r#"{{"action":"put","stream":"job","message":{number}}}"#)).await;
        assert_eq!(next(&mut listener, 1).await, [number.to_string()]);
    }
}

/// Of several addresses the first that answers counts. When its connection is lost, the next one is tried, and the first again behind the
/// last.
#[tokio::test]
async fn of_several_addresses_one_that_answers_is_taken() {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let (one, other, nobody) = (bind().await.unwrap(), bind().await.unwrap(), bind().await.unwrap());
    let address = |listener: &TcpListener| listener.local_addr().unwrap().to_string();
    let addresses = [&nobody, &one, &other].map(address).join(",");
    drop(nobody);
    let client = RemoteStream::connect_with(addresses.parse().unwrap(), forgetful()).await.unwrap();
    let _listener = client.listen("job").await.unwrap();
    for peer in [&one, &other, &one] {
        let mut broker = Peer::accept(peer).await;
        while !broker.lines(1).await.remove(0).contains("\"listen\"") {}
    }
    drop(other);
    assert!(one.accept().await.is_ok(), "it is tried each time where another does not answer");
    drop((client, one));
    let error = RemoteStream::connect(&addresses).await.unwrap_err().to_string();
    assert!(error.contains(&addresses), "{error}");
}

/// A broker that ends the connection without saying why has not been asked to: that is no end that this client wanted.
#[tokio::test]
async fn a_close_without_a_reason_is_a_lost_connection() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let client = RemoteStream::connect_with(address, forgetful()).await.unwrap();
    let mut listener = client.listen("job").await.unwrap();
    let (mut socket, _) = peer.accept().await.unwrap();
    socket.write_all(b"{\"action\":\"close\"}\n").await.unwrap();
    let mut again = Peer::accept(&peer).await;
    let mut listen = again.lines(1).await.remove(0);
    while !listen.contains("\"listen\"") {
        listen = again.lines(1).await.remove(0);
    }
    let receipt = receipt_in(&listen);
    again.say(&format!(r#"{{"action":"receipt","receipt":{receipt},"state":"waiting"}}"#)).await;
    again.say(r#"{"action":"put","stream":"job","message":1}"#).await;
    assert_eq!(next(&mut listener, 1).await, ["1"]);
}

/// A peer that takes everything and says nothing: its connection counts as lost after the set times.
#[tokio::test]
async fn a_dead_peer_is_noticed() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let times = Duration::from_millis(5);
    let options = Options::default().idle_time(times).answer_time(times);
    let client = RemoteStream::connect_with(silent.local_addr().unwrap().to_string().parse().unwrap(), options).await.unwrap();
    let mut listener = client.listen("job").await.unwrap();
    let began = tokio::time::Instant::now();
    let _held = silent.accept().await.unwrap();
    match listener.next().await.unwrap() {
        Event::Lost { reason } => assert!(reason.contains("has been silent"), "{reason}"),
        other => panic!("{}", told(&other)),
    }
    assert!(began.elapsed() >= times);
    assert!(matches!(client.flush().await, Err(ClientError::Lost(_))));
}

/// A broker that answers pings is not dead, however little happens.
#[tokio::test]
async fn an_idle_peer_that_answers_is_not_dead() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = Options::default().idle_time(Duration::from_millis(1));
    let client = RemoteStream::connect_with(peer.local_addr().unwrap().to_string().parse().unwrap(), options).await.unwrap();
    let listener = client.listen("job").await.unwrap();
    let (read, mut write) = peer.accept().await.unwrap().0.into_split();
    let mut lines = BufReader::new(read).lines();
    assert!(lines.next_line().await.unwrap().unwrap().contains("listen"));
    // Each is asked for only once the one before was answered.
    for _ in 0..20 {
        assert_eq!(lines.next_line().await.unwrap().unwrap(), r#"{"action":"ping"}"#);
        write.write_all(b"{\"action\":\"pong\"}\n").await.unwrap();
    }
    let rest = b"{\"action\":\"put\",\"stream\":\"job\",\"message\":1}\n{\"action\":\"receipt\",\"receipt\":1,\"state\":\"waiting\"}\n";
    write.write_all(rest).await.unwrap();
    assert_eq!(listener.joined().await.map(|joined| joined.state), Some(msgstream::client::StreamState::Waiting));
}

/// A broker that is full turns each attempt away: the pauses between them grow, and what it lets in at last is served.
#[tokio::test]
async fn a_full_broker_is_asked_again_after_a_pause() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let client = RemoteStream::start(address, forgetful());
    client.put("job", &1).await.unwrap();
    for _ in 0..5 {
        let (mut socket, _) = peer.accept().await.unwrap();
        socket.write_all(b"{\"action\":\"close\",\"message\":{\"code\":\"limit\",\"reason\":\"there are too many\"}}\n").await.unwrap();
        let mut all = Vec::new();
        // Until the client has gone.
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut all).await;
    }
    let mut lines = BufReader::new(peer.accept().await.unwrap().0).lines();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), r#"{"action":"put","stream":"job","message":1}"#);
}

/// What a client does wrong it would do wrong again: no new connection is tried.
#[tokio::test]
async fn a_client_that_is_denied_does_not_come_again() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let client = RemoteStream::connect_with(address, forgetful()).await.unwrap();
    let mut listener = client.listen("job").await.unwrap();
    let (mut socket, _) = peer.accept().await.unwrap();
    socket.write_all(b"{\"action\":\"close\",\"message\":{\"code\":\"denied\",\"reason\":\"not you\"}}\n").await.unwrap();
    assert_eq!(next(&mut listener, 9).await, ["cut off: denied"]);
}

/// A message that this client does not take, which the broker would send again and again to one that resumes before it.
#[tokio::test]
async fn a_message_that_is_too_long_for_a_listener_does_not_silence_it() {
    let broker = Broker::start();
    let options = patient().longest_line(msgstream::units::ByteSize(2000));
    let watcher = RemoteStream::connect_with(broker.address.to_string().parse().unwrap(), options).await.unwrap();
    let job = connect(&broker).await;
    let mut listener = watcher.listen("job").await.unwrap();
    listener.joined().await.unwrap();
    job.put("job", &1).await.unwrap();
    job.put("job", &"x".repeat(5000)).await.unwrap();
    job.flush().await.unwrap();
    assert_eq!(next(&mut listener, 2).await, ["1", "reconnected"]);
    listener.joined().await.unwrap();
    watcher.flush().await.unwrap();
    job.put("job", &3).await.unwrap();
    assert_eq!(next(&mut listener, 1).await, ["3"]);
}

/// What was on its way when the client hung up is nobody's, also if somebody listens again meanwhile: it was told as the header of a
/// stream that ended without one.
#[tokio::test]
async fn what_comes_after_a_hangup_is_not_told_to_the_next_listener() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let client = RemoteStream::connect_with(address, Options::default()).await.unwrap();
    let mut broker = Peer::accept(&peer).await;
    let first = client.listen("job").await.unwrap();
    let asked = broker.lines(1).await.remove(0);
    broker.say(&format!(r#"{{"action":"receipt","receipt":{},"state":"waiting"}}"#, receipt_in(&asked))).await;
    first.joined().await.unwrap();
    drop(first);
    let mut second = client.listen("job").await.unwrap();
    broker.say(r#"{"action":"put","stream":"job","message":"old"}"#).await;
    let lines = broker.lines(2).await;
    assert!(lines[0].contains("hangup") && lines[1].contains("listen"), "{lines:?}");
    broker.say(&format!(r#"{{"action":"receipt","receipt":{}}}"#, receipt_in(&lines[0]))).await;
    broker.say(&format!(r#"{{"action":"receipt","receipt":{},"state":"ended"}}"#, receipt_in(&lines[1]))).await;
    broker.say(r#"{"action":"close","stream":"job","message":"the end"}"#).await;
    assert_eq!(next(&mut second, 9).await, ["ended \"the end\""]);
}
