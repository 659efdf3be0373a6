//! Sessions and wills, where what is on its way and the clock matter.

use std::time::Duration;

use msgstream::broker::{Policy, Settings};
use msgstream::internal::broker::actor::Command;
use msgstream::units::{ByteSize, Span};
use tokio::time::{Instant, advance, sleep, timeout};

use super::{Broker, Peer, hold, put};

const SESSION: &str = r#"{"action":"session","session":"sixteen letters!"}"#;

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.outbox.limit = ByteSize(1000);
    settings.outbox.write_time = Span::from_secs(1000);
    // No multiple of a second, so that it is seen whether the actor wakes on time.
    settings.limits.session_time = Span(Duration::from_millis(10_400));
    settings
}

/// How many lines of the session were taken, as its answer says.
fn taken(answer: &str) -> u64 {
    let (_, rest) = answer.split_once("\"known\":true,\"taken\":").unwrap_or_else(|| panic!("{answer}"));
    rest.split(',').next().unwrap().parse().unwrap()
}

/// The client begins with its session and leaves a will, and both have taken effect.
async fn with_session_and_will(job: &Peer) {
    job.line(SESSION);
    job.line(r#"{"action":"will","stream":"s","message":"lost"}"#);
    job.ping().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_when_a_session_is_taken_over_never_takes_effect() {
    let broker = Broker::start(&settings());
    let observer = broker.listener("s").await;
    let former = broker.connect();
    former.line(SESSION);
    assert!(former.ping().await.contains("\"known\":false"));
    former.line(&format!(r#"{{"action":"header","stream":"long","message":"{}"}}"#, "x".repeat(600)));
    assert_eq!(former.ping().await, "");
    // It reads no more. After two headers its queue is more than half full, and the rest of what it says waits for that.
    former.room(0);
    // In one read, so that all of it is with the actor.
    let listens = "{\"action\":\"listen\",\"stream\":\"long\"}\n".repeat(3);
    former.line(&format!("{listens}{}", put("s", "1")));
    assert!(timeout(Duration::from_secs(1), observer.until(|bytes| !bytes.is_empty())).await.is_err(), "it was to wait");
    let next = broker.connect();
    next.line(SESSION);
    let count = taken(&next.ping().await);
    assert!((3..7).contains(&count), "{count} lines were taken of those that were");
    // It reads again: what waited could go on.
    former.room(usize::MAX);
    assert!(former.rest().await.ends_with("\"}}\n"), "the last line says why");
    former.reset();
    next.line(&put("s", "2"));
    next.ping().await;
    assert_eq!(observer.until(|bytes| bytes.ends_with(b"\n")).await, put("s", "2") + "\n");
}

#[tokio::test(start_paused = true)]
async fn a_will_takes_effect_when_the_time_of_its_session_is_over_and_not_before() {
    let broker = Broker::start(&settings());
    let (job, listener, began) = (broker.connect(), broker.listener("s").await, Instant::now());
    with_session_and_will(&job).await;
    sleep(Duration::from_secs(20)).await;
    job.reset();
    let told = listener.until(|bytes| !bytes.is_empty()).await;
    assert_eq!(told, "{\"action\":\"close\",\"stream\":\"s\",\"message\":\"lost\"}\n");
    assert!((30_400..30_500).contains(&began.elapsed().as_millis()), "after {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_again_and_again_is_never_lost() {
    let broker = Broker::start(&settings());
    let listener = broker.listener("s").await;
    for round in 0..5 {
        let job = broker.connect();
        job.line(SESSION);
        if round == 0 {
            job.line(r#"{"action":"will","stream":"s","message":"lost"}"#);
        }
        job.ping().await;
        job.reset();
        sleep(Duration::from_secs(9)).await;
    }
    let job = broker.connect();
    job.line(SESSION);
    job.line(r#"{"action":"close"}"#);
    job.rest().await;
    job.reset();
    sleep(Duration::from_secs(100)).await;
    assert_eq!(listener.ping().await, "");
}

/// While the broker is stopped (by SIGSTOP, or with its machine), nobody can come back.
#[tokio::test(start_paused = true)]
async fn time_in_which_the_broker_did_not_run_does_not_count() {
    let broker = Broker::start(&settings());
    let (job, listener) = (broker.connect(), broker.listener("s").await);
    with_session_and_will(&job).await;
    job.reset();
    sleep(Duration::from_secs(1)).await;
    advance(Duration::from_secs(3600)).await;
    sleep(Duration::from_secs(1)).await;
    let job = broker.connect();
    job.line(SESSION);
    assert!(job.ping().await.contains("\"known\":true"), "an hour without the broker was counted");
    assert_eq!(listener.ping().await, "");
}

/// While the broker stops, nobody can come back.
#[tokio::test(start_paused = true)]
async fn nobody_is_lost_when_the_broker_stops() {
    let broker = Broker::start(&settings());
    let (job, listener) = (broker.connect(), broker.listener("s").await);
    with_session_and_will(&job).await;
    job.reset();
    sleep(Duration::from_secs(9)).await;
    let (told, quiesced) = tokio::sync::oneshot::channel();
    broker.context.mailbox.send(Command::Quiesce(told));
    quiesced.await.unwrap();
    sleep(Duration::from_secs(9)).await;
    broker.context.mailbox.send(Command::Shutdown);
    let rest = listener.rest().await;
    assert!(rest.starts_with(r#"{"action":"close","message":{"code":"shutdown""#), "{rest}");
}

/// A publisher that waits for a full listener goes on when the stream is ended by a will.
#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_by_a_will_holds_nobody_back() {
    let mut settings = settings();
    settings.outbox.policy = Policy::Throttle;
    let broker = Broker::start(&settings);
    let (listener, publisher, job) = (broker.listener("s").await, broker.connect(), broker.connect());
    job.line(r#"{"action":"will","stream":"s","message":"lost"}"#);
    job.ping().await;
    listener.room(0);
    hold(&publisher).await;
    let began = Instant::now();
    job.reset();
    let text = publisher.until(|bytes| bytes.ends_with(b"{\"action\":\"pong\"}\n")).await;
    assert_eq!(text, "{\"action\":\"pong\"}\n");
    assert_eq!(began.elapsed().as_secs(), 0, "the publisher waits for somebody who does not listen any more");
}
