//! Publishers whose connections are lost: a session knows what the broker has taken.

use std::time::Duration;

use msgstream::client::{ClientError, Event, RemoteStream};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::broker::{Broker, next};
use crate::peer::{Peer, receipt_in};
use crate::proxy::Proxy;
use crate::reconnect::patient;

async fn direct(broker: &Broker) -> RemoteStream {
    RemoteStream::connect(&broker.address.to_string()).await.unwrap()
}

async fn through(proxy: &Proxy) -> RemoteStream {
    RemoteStream::connect_with(proxy.address.to_string().parse().unwrap(), patient()).await.unwrap()
}

/// Connections that are broken off at any byte of what is on its way, with headers and receipts among it: each message arrives once.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_message_arrives_once_wherever_the_connection_is_broken_off() {
    let broker = Broker::start();
    let proxy = Proxy::cutting(broker.address.to_string(), |number| 1000 + number * 7919 % 60_000).await;
    let (job, watcher) = (through(&proxy).await, direct(&broker).await);
    let mut listener = watcher.listen("job").await.unwrap();
    listener.joined().await.unwrap();
    let message = |number: u32| format!("{number:0200}");
    let publish = async {
        for number in 0..20_000 {
            match number % 1000 {
                17 => job.put_with_header("job", &message(number), &number).await.unwrap(),
                42 => drop(job.confirmed().put("job", &message(number)).await.unwrap()),
                _ => job.put("job", &message(number)).await.unwrap(),
            }
            if number % 1000 == 999 {
                job.flush().await.unwrap();
            }
        }
        job.close("job").await.unwrap();
        job.flush().await.unwrap();
    };
    let receive = async {
        for number in 0..20_000 {
            match listener.next().await {
                Some(Event::Message(content)) => assert_eq!(content.as_str(), format!("\"{}\"", message(number))),
                other => panic!("{other:?} in place of {number}"),
            }
        }
        assert_eq!(next(&mut listener, 2).await, ["ended"]);
    };
    tokio::join!(publish, receive);
    assert_eq!((job.repeated(), job.waiting()), (0, 0));
}

/// A stream whose header was confirmed, changed and confirmed again by what was taken of a lost connection stands as it was left.
#[tokio::test]
async fn what_was_taken_is_known_and_what_was_not_is_sent() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let client = RemoteStream::connect_with(address, patient()).await.unwrap();
    let mut first = Peer::accept(&peer).await;
    let session = first.open("false", 0).await;
    let put = tokio::spawn({
        let client = client.clone();
        async move { client.confirmed().put("job", "two").await }
    });
    while client.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    client.put("job", "three").await.unwrap();
    client.header("job", "four").await.unwrap();
    let mut sent = Vec::new();
    while !sent.iter().any(|line: &String| line.contains("four")) {
        sent.extend(first.lines(1).await);
    }
    drop(first);

    // The broker has taken the one that has a receipt, which was lost, and no more.
    let two = sent.iter().position(|line| line.contains("two")).unwrap() as u64;
    let mut second = Peer::accept(&peer).await;
    assert_eq!(second.open("true", two + 1).await, session);
    let receipt = put.await.unwrap().unwrap();
    assert_eq!(receipt.listeners, None, "nobody can know");
    let again = second.sent_before("four").await;
    assert_eq!(again, [r#"{"action":"put","stream":"job","message":"three"}"#]);
    assert_eq!(client.repeated(), 0);
}

/// The answer that says so was lost, and with it the only word that this is another session: the one after it knows the name.
// Seen to fail: the client took it for its own session, and sent again what had been taken without counting it.
#[tokio::test]
async fn a_session_that_was_begun_anew_is_not_taken_for_the_former_one() {
    for confirms in [true, false] {
        let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = peer.local_addr().unwrap().to_string().parse().unwrap();
        let client = RemoteStream::connect_with(address, patient()).await.unwrap();
        let mut first = Peer::accept(&peer).await;
        let session = first.open("false", 0).await;
        if confirms {
            client.put("job", "one").await.unwrap();
            first.confirm().await;
            while client.waiting() > 0 {
                tokio::task::yield_now().await;
            }
        }
        client.put("job", "two").await.unwrap();
        first.sent_before("two").await;
        drop(first);
        let mut second = Peer::accept(&peer).await;
        second.lines(1).await;
        drop(second);
        let mut third = Peer::accept(&peer).await;
        assert_eq!(third.open("true", 0).await, session);
        third.sent_before("two").await;
        assert_eq!(client.repeated(), 1, "confirms: {confirms}");
    }
}

#[tokio::test]
async fn where_the_broker_has_forgotten_the_session_it_is_told_that_messages_may_have_arrived_twice() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let client = RemoteStream::connect_with(address, patient()).await.unwrap();
    let mut first = Peer::accept(&peer).await;
    let session = first.open("false", 0).await;
    client.put("job", "one").await.unwrap();
    client.put("job", "two").await.unwrap();
    while !first.lines(1).await[0].contains("two") {}
    drop(first);
    let mut second = Peer::accept(&peer).await;
    assert_eq!(second.open("false", 0).await, session);
    assert_eq!(second.sent_before("two").await, [r#"{"action":"put","stream":"job","message":"one"}"#]);
    assert_eq!(client.repeated(), 2);
}

/// The broker was restarted, and the connection on which it was asked how the stream stands was lost before the answer: the next one
/// belongs to the session that was begun then, and asks anew.
// Seen to fail: the header was never set again, and the close was repeated without a question.
#[tokio::test]
async fn a_question_whose_answer_was_lost_is_asked_again() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let client = RemoteStream::connect_with(address, patient()).await.unwrap();
    let mut first = Peer::accept(&peer).await;
    first.open("false", 0).await;
    client.header("job", "mine").await.unwrap();
    first.confirm().await;
    while client.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    client.put("job", "one").await.unwrap();
    client.close("job").await.unwrap();
    first.sent_before("close").await;
    drop(first);
    // It has taken the questions, and said nothing; or taken the header as well.
    for taken in [0, 3] {
        let mut second = Peer::accept(&peer).await;
        second.open(if taken == 0 { "false" } else { "true" }, taken.min(2)).await;
        if taken == 0 {
            second.lines(2).await;
        } else {
            second.answer(&[("job", "waiting", None)]).await;
            second.set_again(&[("job", "\"mine\"")]).await;
        }
        drop(second);
    }
    let mut third = Peer::accept(&peer).await;
    third.open("true", 5).await;
    third.answer(&[("job", "running", Some("\"mine\""))]).await;
    assert_eq!(third.sent_before("close").await, [r#"{"action":"put","stream":"job","message":"one"}"#]);
}

/// Nothing is written before the broker has said what it has taken, and what takes its session away from a client is a copy of it.
#[tokio::test]
async fn a_session_that_was_taken_over_is_not_taken_back() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let client = RemoteStream::connect_with(address, patient()).await.unwrap();
    client.put("job", "one").await.unwrap();
    let mut first = Peer::accept(&peer).await;
    let session = first.open("false", 0).await;
    first.say(r#"{"action":"close","message":{"code":"taken_over","reason":"elsewhere"}}"#).await;
    let mut second = Peer::accept(&peer).await;
    assert_ne!(second.open("false", 0).await, session);
}

/// What an earlier connection had sent came late, and took the session away from the later one: once for each such connection it is
/// taken back.
// Seen to fail: the client went on with another session, and its wills took effect while it was at work.
#[tokio::test]
async fn a_session_that_an_earlier_connection_has_taken_is_taken_back() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let _client = RemoteStream::connect_with(address, patient()).await.unwrap();
    Peer::accept(&peer).await.lines(1).await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let mut next = Peer::accept(&peer).await;
        sessions.push(next.open("true", 0).await);
        next.say(r#"{"action":"close","message":{"code":"taken_over","reason":"elsewhere"}}"#).await;
    }
    assert_eq!(sessions[0], sessions[1]);
    assert_ne!(sessions[1], sessions[2]);
}

/// A broker that knows no sessions, or has no room for another: the client goes on without.
#[tokio::test]
async fn a_broker_without_sessions_serves_as_well() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let client = RemoteStream::connect_with(address, patient()).await.unwrap();
    client.put("job", "one").await.unwrap();
    for _ in 0..2 {
        let mut peer = Peer::accept(&peer).await;
        let line = peer.lines(1).await.remove(0);
        let receipt = receipt_in(&line);
        peer.say(&format!(r#"{{"action":"error","message":{{"code":"bad_action","reason":"what?"}},"receipt":{receipt}}}"#)).await;
        assert!(peer.lines(1).await[0].contains("one"));
    }
}

/// Who is killed is lost: here its connection is, and nobody comes back.
#[tokio::test]
async fn a_will_is_carried_out_if_the_client_is_lost_and_not_if_it_ends() {
    let broker = Broker::impatient(Duration::from_millis(200));
    let watcher = direct(&broker).await;
    let mut ended = watcher.listen("ended").await.unwrap();
    let mut listener = watcher.listen("job").await.unwrap();
    listener.joined().await.unwrap();

    // Its time would be over before that of the next one.
    let proxy = Proxy::start(broker.address.to_string()).await;
    let job = through(&proxy).await;
    job.will("ended", "lost").await.unwrap();
    job.disconnect().await.unwrap();
    let mut proxy = Proxy::start(broker.address.to_string()).await;
    let job = through(&proxy).await;
    job.will("job", "taken back").await.unwrap();
    job.take_back_will("job").await.unwrap();
    job.will("job", "lost again").await.unwrap();
    job.put("job", &1).await.unwrap();
    job.flush().await.unwrap();
    proxy.refuse();
    assert_eq!(next(&mut listener, 9).await, ["1", "ended \"lost again\""]);
    watcher.put("ended", "it goes on").await.unwrap();
    assert_eq!(next(&mut ended, 1).await, ["\"it goes on\""]);
}

/// A will outlives the broker: it is said anew where it was forgotten.
#[tokio::test]
async fn a_will_that_the_broker_has_forgotten_is_said_again() {
    let mut broker = Broker::impatient(Duration::from_millis(200));
    let mut proxy = Proxy::start(broker.address.to_string()).await;
    let job = through(&proxy).await;
    job.will("job", "lost").await.unwrap();
    job.header("job", "at work").await.unwrap();
    job.flush().await.unwrap();
    broker.restart();
    job.put("job", &1).await.unwrap();
    job.flush().await.unwrap();
    let mut listener = direct(&broker).await.listen("job").await.unwrap();
    assert_eq!(next(&mut listener, 1).await, ["header \"at work\""]);
    proxy.refuse();
    assert_eq!(next(&mut listener, 9).await, ["ended \"lost\""]);
}

/// A job that is started again under its name is not ended by the death of the one before.
#[tokio::test]
async fn the_next_job_of_a_name_is_not_ended_by_its_predecessor() {
    let broker = Broker::impatient(Duration::from_millis(100));
    let mut proxy = Proxy::start(broker.address.to_string()).await;
    let (former, next_job) = (through(&proxy).await, direct(&broker).await);
    former.will("job", "the first is lost").await.unwrap();
    former.header("job", "the first").await.unwrap();
    // Of another stream, so that it can be seen when its time is over.
    former.will("other", "lost").await.unwrap();
    former.flush().await.unwrap();
    let mut listener = next_job.listen("job").await.unwrap();
    let mut other = next_job.listen("other").await.unwrap();
    other.joined().await.unwrap();
    next_job.will("job", "the second is lost").await.unwrap();
    next_job.header("job", "the second").await.unwrap();
    next_job.flush().await.unwrap();
    proxy.refuse();
    assert_eq!(next(&mut other, 9).await, ["ended \"lost\""]);
    next_job.put("job", &2).await.unwrap();
    next_job.close("job").await.unwrap();
    assert_eq!(next(&mut listener, 9).await, ["header \"the first\"", "2", "ended"]);
}

/// A broker that never answers the session is as silent as one that answers no ping.
#[tokio::test]
async fn a_session_that_is_never_answered_does_not_hold_the_client_for_ever() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let times = Duration::from_millis(5);
    let options = patient().idle_time(times).answer_time(times);
    let client = RemoteStream::connect_with(peer.local_addr().unwrap().to_string().parse().unwrap(), options).await.unwrap();
    client.put("job", "one").await.unwrap();
    for _ in 0..3 {
        let (mut socket, _) = peer.accept().await.unwrap();
        let mut all = Vec::new();
        // Until the client gives this one up.
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut all).await;
        assert!(String::from_utf8(all).unwrap().starts_with("{\"action\":\"session\""));
        let _ = socket.shutdown().await;
    }
}

/// A broker that had no time to keep all its messages knows the session in its next life, and its streams have other epochs: what was for a
/// run of the former one is said as the program has said it.
// Seen to fail: the broker refused what the client had tied to a run, and the message was lost.
#[tokio::test]
async fn to_another_life_of_the_broker_the_former_runs_mean_nothing() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let client = RemoteStream::connect_with(address, patient()).await.unwrap();
    client.header("job", "mine").await.unwrap();
    let mut first = Peer::accept(&peer).await;
    first.open("false", 0).await;
    let (flushed, ()) = tokio::join!(client.flush(), async {
        first.confirm().await;
        first.confirm().await;
    });
    flushed.unwrap();
    client.put_with_header("job", "one", "mine, further").await.unwrap();
    while !first.lines(1).await[0].contains("one") {}
    drop(first);

    // It has crashed: the message is for the run that it has now.
    let mut second = Peer::accept(&peer).await;
    second.open("false", 0).await;
    second.answer(&[("job", "running", Some("\"mine\""))]).await;
    let again = second.sent_before("\"one\"").await;
    assert_eq!(again, [""; 0]);
    drop(second);

    for (life, has_run) in [("00000000000000ab", true), ("00000000000000cd", false)] {
        let mut next = Peer::accept(&peer).await;
        // What was asked, which it has answered: a listen and a hangup.
        next.open_in(life, "true", 2).await;
        let put = loop {
            let line = next.lines(1).await.remove(0);
            if line.contains("\"one\"") {
                break line;
            }
        };
        assert_eq!(put.contains("\"of\":"), has_run, "{put}");
    }
}

/// The broker has taken it, and the connection is lost before the word that it is durable: nobody can know whether it is.
// Seen to fail: where the line was known to be taken the caller was told that all is well, and where that had been confirmed before the
// connection was lost it waited for ever.
#[tokio::test]
async fn what_was_taken_is_not_said_to_be_durable_if_the_word_of_that_was_lost() {
    for (confirms, known) in [(true, "true"), (true, "false"), (false, "true")] {
        let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = peer.local_addr().unwrap().to_string().parse().unwrap();
        let client = RemoteStream::connect_with(address, patient()).await.unwrap();
        let mut first = Peer::accept(&peer).await;
        first.open("false", 0).await;
        let header = tokio::spawn({
            let client = client.clone();
            async move { client.confirmed().durable().header("job", "mine").await }
        });
        if confirms {
            assert!(first.confirm().await[0].contains("\"durable\":true"));
            while client.waiting() > 0 {
                tokio::task::yield_now().await;
            }
        } else {
            first.lines(2).await;
        }
        drop(first);
        let mut second = Peer::accept(&peer).await;
        second.open(known, 2).await;
        let told = tokio::time::timeout(Duration::from_secs(20), header).await.expect("it is told").unwrap();
        assert!(matches!(&told, Err(ClientError::Lost(why)) if why.contains("durable")), "{confirms} {known}: {told:?}");
        // It goes on: what has not been taken is sent as ever.
        let again = client.confirmed().durable();
        let (told, ()) = tokio::join!(again.close("job"), async {
            let close = loop {
                let line = second.lines(1).await.remove(0);
                if line.contains("\"close\"") {
                    break line;
                }
                if line.contains("\"receipt\"") {
                    second.say(&format!(r#"{{"action":"receipt","receipt":{},"state":"running"}}"#, receipt_in(&line))).await;
                }
            };
            second.say(&format!(r#"{{"action":"receipt","receipt":{},"listeners":3}}"#, receipt_in(&close))).await;
        });
        assert_eq!(told.unwrap().listeners, Some(3));
    }
}
