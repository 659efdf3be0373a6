//! What a client repeats on a new connection, and what it does not.

use msgstream::client::{ClientError, Receipt, RemoteStream};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::peer::{Peer, RUN, receipt_in};
use crate::reconnect::forgetful;

/// What the broker has not confirmed is sent again; listen actions among it are not, since they are made anew.
#[tokio::test]
async fn what_was_not_confirmed_is_sent_again() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let client = RemoteStream::connect_with(address, forgetful()).await.unwrap();
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
    let client = RemoteStream::connect_with(address, forgetful()).await.unwrap();
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
    let receipts = second.set_again(&[("closed", "0"), ("job", "0")]).await;
    for receipt in &receipts {
        second.receipt_of(receipt, RUN).await;
    }
    let again = second.lines(3).await;
    let of = format!(r#","of":"{RUN}","receipt":"#);
    // What follows is for the runs that were begun so, and so that a refusal is known.
    let expected = [
        format!(r#"{{"action":"put","stream":"job","message":"one","header":1{of}"#),
        format!(r#"{{"action":"put","stream":"job","message":"two","header":2{of}"#),
        format!(r#"{{"action":"close","stream":"closed"{of}"#),
    ];
    for (again, expected) in again.iter().zip(&expected) {
        assert!(again.starts_with(expected), "{again} in place of {expected}");
    }
    // To another life of the broker that run means nothing.
    drop(second);
    let mut third = Peer::accept(&peer).await;
    third.answer(&[("closed", "waiting", None), ("job", "waiting", None)]).await;
    for receipt in third.set_again(&[("closed", "0"), ("job", "0")]).await {
        third.receipt_of(&receipt, "00000000000000bb").await;
    }
    let of = of.replace(RUN, "00000000000000bb");
    for (again, expected) in third.lines(3).await.iter().zip(&expected) {
        let expected = expected.replace(RUN, "00000000000000bb");
        assert!(again.starts_with(&expected) && again.matches(&of).count() == 1, "{again} in place of {expected}");
    }
}

/// Between the question and the header that is set again, somebody else began the job.
#[tokio::test]
async fn a_header_that_is_set_again_touches_no_run_that_has_begun_meanwhile() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, first) = begun(&peer).await;
    let broken = async {
        let mut second = after_the_close(first, &peer).await;
        second.answer(&[("job", "waiting", None)]).await;
        let receipt = second.set_again(&[("job", "\"mine\"")]).await.remove(0);
        second.stale(&receipt).await;
        second
    };
    let confirmed = client.confirmed();
    let (closed, mut second) = tokio::join!(confirmed.close("job"), broken);
    assert!(matches!(closed, Err(ClientError::Stale(_))), "{closed:?}");
    client.put("job", "a last word").await.unwrap();
    assert_eq!(second.sent_before("a last word").await, [""; 0]);
    // Nor is it set later.
    drop(second);
    client.put("job", "the very last").await.unwrap();
    let mut third = Peer::accept(&peer).await;
    assert_eq!(third.sent_before("a last word").await, [""; 0]);
}

/// Between the question and what is repeated, somebody else began the job.
#[tokio::test]
async fn what_is_repeated_touches_no_run_that_has_begun_meanwhile() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, mut first) = begun(&peer).await;
    client.put_with_header("job", "one", "mine, further").await.unwrap();
    client.header("job", "mine, still further").await.unwrap();
    first.sent_before("still further").await;
    drop(first);
    let mut second = Peer::accept(&peer).await;
    second.answer(&[("job", "running", Some("\"mine\""))]).await;
    let refuses = async {
        let mut refused = 0;
        loop {
            let line = second.lines(1).await.remove(0);
            if line.contains("\"ping\"") {
                second.say(&line.replace("ping", "pong")).await;
                continue;
            }
            assert!(line.contains(&format!(r#","of":"{RUN}""#)), "{line}");
            second.stale(&receipt_in(&line)).await;
            refused += 1;
            assert!(refused <= 2);
        }
    };
    let flushed = tokio::select! {
        flushed = client.flush() => flushed,
        () = refuses => unreachable!(),
    };
    assert!(matches!(flushed, Err(ClientError::Stale(_))), "{flushed:?}");
    // It is not this client's any more.
    drop(second);
    client.put("job", "a last word").await.unwrap();
    let mut third = Peer::accept(&peer).await;
    assert_eq!(third.sent_before("a last word").await, [""; 0]);
}

/// A client whose header of "job" is confirmed, and its peer.
async fn begun(peer: &TcpListener) -> (RemoteStream, Peer) {
    let address = peer.local_addr().unwrap().to_string().parse().unwrap();
    let client = RemoteStream::connect_with(address, forgetful()).await.unwrap();
    client.header("job", "mine").await.unwrap();
    let mut first = Peer::accept(peer).await;
    let (flushed, ()) = tokio::join!(client.flush(), async {
        first.confirm().await;
        first.confirm().await;
    });
    flushed.unwrap();
    (client, first)
}

/// The connection after one that is lost once a close has been sent.
async fn after_the_close(mut first: Peer, peer: &TcpListener) -> Peer {
    while !first.lines(1).await[0].contains("close") {}
    drop(first);
    Peer::accept(peer).await
}

/// A client whose connection fails when its close has been sent; the next one says that the stream stands so. Returns what becomes of
/// the close, too.
async fn cut_off_while_closing(state: &str, header: &str) -> (RemoteStream, Result<Receipt, ClientError>, Peer) {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, first) = begun(&peer).await;
    let broken = async {
        let mut second = after_the_close(first, &peer).await;
        second.answer(&[("job", state, Some(header))]).await;
        if (state, header) == ("running", "\"theirs\"") {
            // The broker may have kept an older one. It has not.
            let receipt = second.set_again(&[("job", "\"mine\"")]).await.remove(0);
            second.stale(&receipt).await;
        }
        second
    };
    let (closed, second) = tokio::join!(async { client.confirmed().close("job").await }, broken);
    (client, closed, second)
}

/// The close was applied and its answer lost; then the job was started again by somebody else, whose run it would end.
#[tokio::test]
async fn an_old_close_does_not_end_a_later_run() {
    let (client, closed, mut second) = cut_off_while_closing("running", "\"theirs\"").await;
    assert!(matches!(closed, Err(ClientError::Stale(_))));
    client.put("job", "a last word").await.unwrap();
    assert_eq!(second.sent_before("a last word").await, [""; 0]);
}

/// A job that may publish and not listen cannot ask how its stream stands. Its header is set again all the same where it is lost, and what is
/// repeated touches no other run.
// Seen to fail: the header was lost with the broker, and a flush told of a listen that the program had never asked for.
#[tokio::test]
async fn a_client_that_may_only_publish_sets_its_header_again() {
    for is_lost in [true, false] {
        let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, mut first) = begun(&peer).await;
        client.put_with_header("job", "one", "mine, further").await.unwrap();
        first.sent_before("further").await;
        drop(first);
        let mut second = Peer::accept(&peer).await;
        second.refuse_to_tell("job", "denied").await;
        let receipt = second.set_again(&[("job", "\"mine\"")]).await.remove(0);
        if is_lost {
            second.receipt_of(&receipt, RUN).await;
            let again = second.lines(1).await.remove(0);
            assert!(again.contains("further") && again.contains(&format!(r#","of":"{RUN}""#)), "{again}");
        } else {
            second.stale(&receipt).await;
            client.put("job", "a last word").await.unwrap();
            assert_eq!(second.sent_before("a last word").await, [""; 0]);
        }
        let confirms = async {
            loop {
                second.confirm().await;
            }
        };
        let flushed = tokio::select! {
            flushed = client.flush() => flushed,
            () = confirms => unreachable!(),
        };
        assert!(if is_lost { flushed.is_ok() } else { matches!(flushed, Err(ClientError::Stale(_))) }, "{is_lost}: {flushed:?}");
    }
}

/// A broker that has no room for the question may have no room for the stream either, or may have it.
// Seen to fail: with the header left out, and what followed it sent as to any stream.
#[tokio::test]
async fn a_question_that_there_is_no_room_for_loses_no_header() {
    for is_lost in [true, false] {
        let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, mut first) = begun(&peer).await;
        client.put_with_header("job", "one", "mine, further").await.unwrap();
        first.sent_before("further").await;
        drop(first);
        let mut second = Peer::accept(&peer).await;
        second.refuse_to_tell("job", "limit").await;
        let receipt = second.set_again(&[("job", "\"mine\"")]).await.remove(0);
        if is_lost {
            second.receipt_of(&receipt, RUN).await;
        } else {
            second.stale(&receipt).await;
        }
        let again = second.lines(1).await.remove(0);
        assert!(again.contains("further") && again.contains("\"of\":") == is_lost, "{again}");
    }
}

/// A header that the broker does not take for now is set again by the next connection. What was to follow it is not sent without it, and
/// its caller is told why.
// Seen to fail: with the header forgotten, and "somebody else has begun" in place of the reason.
#[tokio::test]
async fn a_header_that_is_refused_for_now_is_not_forgotten() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, mut first) = begun(&peer).await;
    let confirmed = client.confirmed();
    let (closed, ()) = tokio::join!(confirmed.close("job"), async {
        first.sent_before("close").await;
        drop(first);
        let mut second = Peer::accept(&peer).await;
        second.answer(&[("job", "waiting", None)]).await;
        let receipt = second.set_again(&[("job", "\"mine\"")]).await.remove(0);
        second.refuse(&receipt, "limit").await;
        client.put("job", "next").await.unwrap();
        assert_eq!(second.sent_before("next").await, [""; 0]);
        drop(second);
        let mut third = Peer::accept(&peer).await;
        third.answer(&[("job", "waiting", None)]).await;
        third.set_again(&[("job", "\"mine\"")]).await;
    });
    assert!(matches!(&closed, Err(ClientError::Refused(reason)) if reason.code == "limit"), "{closed:?}");
}

/// A broker that was killed has kept an older header, or the end of the run before: the last header is set again, and what follows is
/// for the run that it is now.
// Seen to fail: the client took the older header, or the end, for somebody else's, so that its own was lost, and it never ended its stream.
#[tokio::test]
async fn a_header_of_which_the_broker_has_kept_an_older_one_is_set_again() {
    for state in ["running", "ended"] {
        let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, first) = begun(&peer).await;
        let broken = async {
            let mut second = after_the_close(first, &peer).await;
            second.answer(&[("job", state, Some("\"older\""))]).await;
            let receipt = second.set_again(&[("job", "\"mine\"")]).await.remove(0);
            second.receipt_of(&receipt, "00000000000000bb").await;
            let close = second.lines(1).await.remove(0);
            assert!(close.starts_with(r#"{"action":"close","stream":"job","#) && close.contains(r#","of":"00000000000000bb""#), "{close}");
            second.say(&format!(r#"{{"action":"receipt","receipt":{},"listeners":0}}"#, receipt_in(&close))).await;
        };
        let confirmed = client.confirmed();
        let (closed, ()) = tokio::join!(confirmed.close("job"), broken);
        assert_eq!(closed.unwrap().listeners, Some(0), "{state}");
    }
}

/// The broker never restarted: it still has the header, or a newer one.
#[tokio::test]
async fn a_header_is_sent_again_only_if_the_broker_has_lost_it() {
    let mine = Some("\"mine\"");
    let theirs = Some("\"theirs\"");
    for (state, header) in [("waiting", None), ("running", mine), ("running", theirs), ("ended", mine), ("ended", theirs)] {
        let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, first) = begun(&peer).await;
        drop(first);
        let mut second = Peer::accept(&peer).await;
        second.answer(&[("job", state, header)]).await;
        if header != mine {
            let receipt = second.set_again(&[("job", "\"mine\"")]).await.remove(0);
            if header.is_none() { second.receipt_of(&receipt, RUN).await } else { second.stale(&receipt).await }
        }
        client.put("job", "next").await.unwrap();
        assert_eq!(second.sent_before("next").await, [""; 0], "{state} {header:?}");
    }
}

/// What took effect before the connection failed counts as done, and its caller is told so.
#[tokio::test]
async fn a_close_that_took_effect_is_not_repeated() {
    let (_client, closed, mut second) = cut_off_while_closing("ended", "\"mine\"").await;
    closed.unwrap();
    assert_eq!(second.confirm().await, [""; 0]);
}

/// The run has ended, as the second connection finds, and the header of the next one goes with that connection, and with the next.
// Seen to fail: once the end was known to have taken effect, the third connection took it for that of somebody else.
#[tokio::test]
async fn a_header_behind_an_end_that_took_effect_is_repeated_until_it_is_confirmed() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, mut first) = begun(&peer).await;
    client.close("job").await.unwrap();
    client.header("job", "next").await.unwrap();
    while !first.lines(1).await.remove(0).contains("next") {}
    drop(first);
    for _ in 0..3 {
        let mut later = Peer::accept(&peer).await;
        later.answer(&[("job", "ended", Some("\"mine\""))]).await;
        assert_eq!(later.sent_before("next").await, [""; 0], "the end is known, and lost nothing");
    }
    drop(client);
}

/// A header that was refused is not this client's: it is neither repeated nor set where the broker has lost the stream.
#[tokio::test]
async fn a_refused_header_is_not_set_later() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, mut first) = begun(&peer).await;
    let refused = async {
        let mut line = first.lines(1).await.remove(0);
        while !line.contains("\"absent\"") {
            line = first.lines(1).await.remove(0);
        }
        first.stale(&receipt_in(&line)).await;
        first
    };
    let confirmed = client.confirmed();
    let (stale, first) = tokio::join!(confirmed.header_if_absent("job", "mine too"), refused);
    assert!(matches!(stale, Err(ClientError::Stale(_))));
    // Its ping was not answered.
    drop(first);
    let mut second = Peer::accept(&peer).await;
    second.answer(&[("job", "waiting", None)]).await;
    let receipt = second.set_again(&[("job", "\"mine\"")]).await.remove(0);
    second.receipt_of(&receipt, RUN).await;
    client.put("job", "a last word").await.unwrap();
    let sent = second.sent_before("a last word").await;
    assert!(sent.iter().all(|line| !line.contains("mine too")), "{sent:?}");
}
