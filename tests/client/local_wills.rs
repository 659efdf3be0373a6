//! The wills of a program that is the broker itself: it is lost when the last clone of a handle is dropped that has one.

use std::future::Future;
use std::time::Duration;

use msgstream::broker::{Limits, Settings};
use msgstream::client::Event;
use msgstream::local::{LocalError, MessageStream};
use msgstream::units::ByteSize;

use crate::broker::told;

/// Far longer than anything here takes.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("nothing has come")
}

/// What comes of a stream until it ends.
async fn listen(broker: &MessageStream, stream: &str) -> tokio::sync::mpsc::UnboundedReceiver<Event> {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    broker.listen(stream, sender).await.unwrap();
    receiver
}

async fn rest(mut receiver: tokio::sync::mpsc::UnboundedReceiver<Event>) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some(event) = within(receiver.recv()).await {
        seen.push(told(&event));
    }
    seen
}

#[tokio::test]
async fn a_job_that_panics_is_lost_and_what_it_has_put_comes_first() {
    let broker = MessageStream::new();
    let heard = listen(&broker, "job").await;
    let job = broker.independent_publisher();
    let clone = job.clone();
    let task = tokio::spawn(async move {
        job.will("job", "lost").await.unwrap();
        job.put("job", &1).await.unwrap();
        panic!("planted: a job that panics");
    });
    assert!(task.await.unwrap_err().is_panic());
    // A clone is the same publisher, which is not lost yet.
    clone.put("job", &2).await.unwrap();
    drop(clone);
    assert_eq!(rest(heard).await, ["1", "2", "ended \"lost\""]);
}

#[tokio::test]
async fn a_job_that_has_ended_or_takes_its_will_back_is_not_lost() {
    let broker = MessageStream::new();
    // Wills are carried out in the order of names, so that the end of the last tells that there is none of the others.
    let streams = ["closed", "taken back", "the last"];
    let mut heard = Vec::new();
    for stream in streams {
        heard.push(listen(&broker, stream).await);
    }
    let (job, other) = (broker.independent_publisher(), broker.independent_publisher());
    for stream in streams {
        job.will(stream, "lost").await.unwrap();
    }
    job.close_with("closed", "done").await.unwrap();
    job.take_back_will("taken back").await.unwrap();
    // Only its own.
    other.take_back_will("the last").await.unwrap();
    drop(job);
    assert_eq!(rest(heard.pop().unwrap()).await, ["ended \"lost\""]);
    assert_eq!(broker.close_with("taken back", "by another").await.unwrap().listeners, Some(1));
    let mut seen = Vec::new();
    for receiver in heard {
        seen.push(rest(receiver).await.join(", "));
    }
    assert_eq!(seen, ["ended \"done\"", "ended \"by another\""]);
}

#[tokio::test]
async fn a_job_that_disconnects_is_not_lost_and_its_clones_publish_no_more() {
    let broker = MessageStream::new();
    let heard = listen(&broker, "job").await;
    let job = broker.independent_publisher();
    let clone = job.clone();
    job.will("job", "lost").await.unwrap();
    job.put("job", &1).await.unwrap();
    job.disconnect().await.unwrap();
    for result in [clone.put("job", &2).await, clone.will("job", "too late").await, clone.flush().await] {
        assert!(matches!(result, Err(LocalError::Ended)));
    }
    assert!(matches!(clone.disconnect().await, Err(LocalError::Ended)));
    assert_eq!(broker.close_with("job", "by another").await.unwrap().listeners, Some(1));
    assert_eq!(rest(heard).await, ["1", "ended \"by another\""]);
}

#[tokio::test]
async fn the_will_of_another_takes_the_place_of_the_one_before() {
    let broker = MessageStream::new();
    let heard = listen(&broker, "job").await;
    let (before, after) = (broker.independent_publisher(), broker.independent_publisher());
    before.will("job", "the first is lost").await.unwrap();
    after.will("job", "the second is lost").await.unwrap();
    drop(before);
    // Behind the end of the one before, in whatever order the broker's tasks come.
    tokio::task::yield_now().await;
    after.put("job", &1).await.unwrap();
    after.flush().await.unwrap();
    drop(after);
    assert_eq!(rest(heard).await, ["1", "ended \"the second is lost\""]);
}

#[tokio::test]
async fn wills_are_held_to_the_rules_of_an_end() {
    let limits = Limits::default().header(ByteSize(10)).line(ByteSize(200));
    let broker = MessageStream::with_settings(&Settings::default().limits(limits));
    let code = |result: Result<(), LocalError>| match result.unwrap_err() {
        LocalError::Refused(reason) => reason.code,
        other => panic!("{other}"),
    };
    assert_eq!(code(broker.will("$job", &1).await), "denied");
    assert_eq!(code(broker.will("", &1).await), "bad_stream");
    assert_eq!(code(broker.will("job", "far too long for it").await), "limit");
    assert_eq!(code(broker.will("job", &"x".repeat(200)).await), "line_too_long");
    assert_eq!(code(broker.take_back_will("").await), "bad_stream");
    assert!(matches!(broker.will("job", &f64::NAN).await, Err(LocalError::Encode(_))));
    broker.take_back_will("job").await.unwrap();
}
