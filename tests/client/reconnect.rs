//! A broker that is killed and comes back, one that is silent, one that turns away.

use std::time::Duration;

use msgstream::client::{Backoff, ClientError, Connection, Event, Options, Receipt, RemoteStream};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::broker::{Broker, next, told};
use crate::proxy::Proxy;

fn patient() -> Options {
    let backoff = Backoff::default().first(Duration::from_millis(1)).longest(Duration::from_millis(50));
    Options::default().reconnect(backoff)
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

/// What the broker has not confirmed is sent again; listen actions among it are not, since they are made anew.
#[tokio::test]
async fn what_was_not_confirmed_is_sent_again() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let client = RemoteStream::connect_with(address, patient()).await.unwrap();
    let lines = |socket: TcpStream| BufReader::new(socket).lines();

    client.header("job", &0).await.unwrap();
    let _listener = client.listen("other").await.unwrap();
    client.put("job", &1).await.unwrap();
    let mut first = lines(peer.accept().await.unwrap().0);
    let mut sent = Vec::new();
    while !sent.last().is_some_and(|line: &String| line.contains("ping")) {
        sent.push(first.next_line().await.unwrap().unwrap());
    }
    assert_eq!(sent.len(), 4, "{sent:?}");
    // Gone, having answered nothing.
    drop(first);

    let mut second = Peer::accept(&peer).await;
    second.answer(&[("job", "waiting", None)]).await;
    // What was not confirmed, the header among it, then who listens.
    assert_eq!(second.kinds(5).await, ["header", "put", "ping", "listen", "ping"]);
    drop(second);

    let mut third = Peer::accept(&peer).await;
    third.answer(&[("job", "waiting", None)]).await;
    assert_eq!(third.kinds(5).await, ["header", "put", "ping", "ping", "listen"], "nothing piles up");
}

/// The header that a new connection gets first is the one from before what is sent again: with a later one, whoever joins
/// meanwhile would see the job go back.
#[tokio::test]
async fn the_confirmed_header_comes_before_what_is_sent_again() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let client = RemoteStream::connect_with(address, patient()).await.unwrap();
    let (read, mut write) = peer.accept().await.unwrap().0.into_split();
    let mut first = BufReader::new(read).lines();
    client.header("job", &0).await.unwrap();
    client.header("closed", &0).await.unwrap();
    while let Some(line) = first.next_line().await.unwrap() {
        if line.contains("ping") {
            let pong = line.replace("ping", "pong") + "\n";
            write.write_all(pong.as_bytes()).await.unwrap();
            break;
        }
    }
    // Until its task has heard that: the answer to a question of its own comes behind it.
    let (flushed, ()) = tokio::join!(client.flush(), async {
        for _ in 0..2 {
            let pong = first.next_line().await.unwrap().unwrap().replace("ping", "pong") + "\n";
            write.write_all(pong.as_bytes()).await.unwrap();
        }
    });
    flushed.unwrap();
    client.put_with_header("job", "one", &1).await.unwrap();
    client.put_with_header("job", "two", &2).await.unwrap();
    client.close("closed").await.unwrap();
    while !first.next_line().await.unwrap().unwrap().contains("ping") {}
    drop((first, write));

    let mut second = Peer::accept(&peer).await;
    second.answer(&[("closed", "waiting", None), ("job", "waiting", None)]).await;
    let mut again = second.lines(5).await;
    // Which of the headers comes first does not matter.
    again[..2].sort();
    let expected = [
        r#"{"action":"header","stream":"closed","message":0}"#,
        r#"{"action":"header","stream":"job","message":0}"#,
        r#"{"action":"put","stream":"job","message":"one","header":1}"#,
        r#"{"action":"put","stream":"job","message":"two","header":2}"#,
        r#"{"action":"close","stream":"closed"}"#,
    ];
    assert_eq!(again, expected);
}

/// The broker of a test, which says what the test wants.
struct Peer {
    read: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
}

impl Peer {
    async fn accept(peer: &TcpListener) -> Self {
        let (read, write) = peer.accept().await.unwrap().0.into_split();
        Self { read: BufReader::new(read).lines(), write }
    }

    async fn lines(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            lines.push(self.read.next_line().await.unwrap().unwrap());
        }
        lines
    }

    async fn kinds(&mut self, count: usize) -> Vec<String> {
        self.lines(count).await.iter().map(|line| line.split('"').nth(3).unwrap().to_owned()).collect()
    }

    async fn say(&mut self, line: &str) {
        self.write.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// What comes before a line with this in it, except pings.
    async fn sent_before(&mut self, part: &str) -> Vec<String> {
        let mut sent = Vec::new();
        loop {
            let line = self.lines(1).await.remove(0);
            if line.contains(part) {
                return sent;
            }
            sent.extend((!line.contains("\"ping\"")).then_some(line));
        }
    }

    /// Confirms all until the next ping.
    async fn confirm(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.lines(1).await.remove(0);
            if line.contains("\"ping\"") {
                self.say(&line.replace("ping", "pong")).await;
                return lines;
            }
            lines.push(line);
        }
    }

    /// Answers what a new connection asks: how these streams stand, and their headers.
    async fn answer(&mut self, streams: &[(&str, &str, Option<&str>)]) {
        for (stream, state, header) in streams {
            let asked = self.lines(2).await;
            let receipt = |line: &str| line.split_once("\"receipt\":").unwrap().1.trim_end_matches('}').to_owned();
            assert!(asked[0].starts_with(&format!(r#"{{"action":"listen","stream":"{stream}","#)), "{asked:?}");
            assert!(asked[1].starts_with(&format!(r#"{{"action":"hangup","stream":"{stream}","#)), "{asked:?}");
            if let Some(header) = header {
                self.say(&format!(r#"{{"action":"put","stream":"{stream}","message":{header}}}"#)).await;
            }
            self.say(&format!(r#"{{"action":"receipt","receipt":{},"state":"{state}"}}"#, receipt(&asked[0]))).await;
            self.say(&format!(r#"{{"action":"receipt","receipt":{}}}"#, receipt(&asked[1]))).await;
        }
    }
}

/// A client whose header of "job" is confirmed, and its peer.
async fn begun(peer: &TcpListener) -> (RemoteStream, Peer) {
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let client = RemoteStream::connect_with(address, patient()).await.unwrap();
    client.header("job", "mine").await.unwrap();
    let mut first = Peer::accept(peer).await;
    let (flushed, ()) = tokio::join!(client.flush(), async {
        first.confirm().await;
        first.confirm().await;
    });
    flushed.unwrap();
    (client, first)
}

/// A client whose connection fails when its close has been sent; the next one says that the stream stands so. Returns what becomes of
/// the close, too.
async fn cut_off_while_closing(state: &str, header: &str) -> (RemoteStream, Result<Receipt, ClientError>, Peer) {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, mut first) = begun(&peer).await;
    let broken = async {
        while !first.lines(1).await[0].contains("close") {}
        drop(first);
        let mut second = Peer::accept(&peer).await;
        second.answer(&[("job", state, Some(header))]).await;
        second
    };
    let (closed, second) = tokio::join!(async { client.confirmed().close("job").await }, broken);
    (client, closed, second)
}

/// The close was applied and its answer lost; then the job was started again by somebody else, whose run it would end.
#[tokio::test]
async fn an_old_close_does_not_end_a_later_run() {
    let (client, closed, mut second) = cut_off_while_closing("running", "\"theirs\"").await;
    assert!(matches!(closed, Err(ClientError::Refused(reason)) if reason.code == "stale"));
    client.put("job", "a last word").await.unwrap();
    assert_eq!(second.sent_before("a last word").await, [""; 0]);
}

/// The broker never restarted: it still has the header, or a newer one.
#[tokio::test]
async fn a_header_is_sent_again_only_if_the_broker_has_lost_it() {
    let lost = vec![r#"{"action":"header","stream":"job","message":"mine"}"#.to_owned()];
    for (state, header, expected) in [
        ("waiting", None, lost),
        ("running", Some("\"mine\""), vec![]),
        ("running", Some("\"theirs\""), vec![]),
        ("ended", Some("\"mine\""), vec![]),
    ] {
        let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, first) = begun(&peer).await;
        drop(first);
        let mut second = Peer::accept(&peer).await;
        second.answer(&[("job", state, header)]).await;
        client.put("job", "next").await.unwrap();
        assert_eq!(second.sent_before("next").await, expected, "{state} {header:?}");
    }
}

/// What took effect before the connection failed counts as done, and its caller is told so.
#[tokio::test]
async fn a_close_that_took_effect_is_not_repeated() {
    let (_client, closed, mut second) = cut_off_while_closing("ended", "\"mine\"").await;
    closed.unwrap();
    assert_eq!(second.confirm().await, [""; 0]);
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

/// A broker that ends the connection without saying why has not been asked to: that is no end that this client wanted.
#[tokio::test]
async fn a_close_without_a_reason_is_a_lost_connection() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let client = RemoteStream::connect_with(address, patient()).await.unwrap();
    let mut listener = client.listen("job").await.unwrap();
    let (mut socket, _) = peer.accept().await.unwrap();
    socket.write_all(b"{\"action\":\"close\"}\n").await.unwrap();
    let mut again = Peer::accept(&peer).await;
    let mut listen = again.lines(1).await.remove(0);
    while !listen.contains("\"listen\"") {
        listen = again.lines(1).await.remove(0);
    }
    let receipt = listen.split_once("\"receipt\":").unwrap().1.trim_end_matches('}');
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
    assert_eq!(listener.joined().await, Some(msgstream::client::StreamState::Waiting));
}

/// A broker that is full turns each attempt away: the pauses between them grow, and what it lets in at last is served.
#[tokio::test]
async fn a_full_broker_is_asked_again_after_a_pause() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let client = RemoteStream::start(address, patient());
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
    let client = RemoteStream::connect_with(address, patient()).await.unwrap();
    let mut listener = client.listen("job").await.unwrap();
    let (mut socket, _) = peer.accept().await.unwrap();
    socket.write_all(b"{\"action\":\"close\",\"message\":{\"code\":\"denied\",\"reason\":\"not you\"}}\n").await.unwrap();
    assert_eq!(next(&mut listener, 9).await, ["cut off: denied"]);
}
