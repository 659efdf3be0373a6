//! What the listeners inside a program are told beyond each message of one stream: the newest only, and streams by a prefix.

use msgstream::client::Start;
use msgstream::local::MessageStream;

use crate::broker::told;

// Seen to fail: the listener was said to be at 3 of 5.
#[tokio::test]
async fn what_was_skipped_counts_for_a_listeners_position() {
    let broker = MessageStream::new();
    for number in 1..=5 {
        broker.put("job", &number).await.unwrap();
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    let listening = broker.listen_from("job", Start::default().last(3).latest(true), sender).await.unwrap();
    broker.flush().await.unwrap();
    assert_eq!(receiver.try_iter().map(|event| told(&event)).collect::<Vec<_>>(), ["skipped 2", "5"]);
    assert_eq!(listening.position().map(|position| position.sequence), Some(5));
}
