//! Futures that are dropped half way, and runtimes that end before the program does.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use msgstream::client::ClientError;
use msgstream::local::{LocalError, MessageStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use crate::broker::{Broker, next};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Polls once, and drops what is not ready.
fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// However much room the mailbox had: a listener whose listening was given up is not kept for ever.
#[tokio::test]
async fn a_listen_that_is_dropped_leaves_no_listener_behind() {
    for before in 0..20 {
        let broker = MessageStream::new();
        broker.flush().await.unwrap();
        let mut queued = 0;
        // Nothing here waits, so that the broker takes nothing out of its mailbox.
        while queued < before && poll_once(broker.put("other", &1)).is_ready() {
            queued += 1;
        }
        let (sender, mut receiver) = mpsc::channel(10);
        let begun = poll_once(broker.listen("job", sender));
        if let Poll::Ready(listening) = begun {
            broker.hangup(&listening.unwrap()).await;
        }
        broker.flush().await.unwrap();
        assert!(matches!(receiver.try_recv(), Err(TryRecvError::Disconnected)), "behind {queued} messages");
    }
}

/// The client's task lives on the runtime that it was made on. When that ends, nobody who waits elsewhere waits for ever.
#[test]
fn a_client_whose_runtime_has_ended_is_lost() {
    let broker = Broker::start();
    let (first, second) = (runtime(), runtime());
    let client = first.block_on(broker.connect());
    let mut listener = first.block_on(client.listen("job")).unwrap();
    first.block_on(client.flush()).unwrap();
    second.block_on(async {
        let mut flush = pin!(client.flush());
        assert!(flush.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        first.shutdown_background();
        assert!(matches!(flush.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(ClientError::Lost(_)))));
        assert!(matches!(poll_once(next(&mut listener, 9)), Poll::Ready(seen) if seen == ["lost"]));
        assert!(matches!(poll_once(client.put("job", &1)), Poll::Ready(Err(ClientError::Lost(_)))));
        assert!(matches!(poll_once(client.clone().disconnect()), Poll::Ready(Err(ClientError::Lost(_)))));
    });
}

/// The same with a broker in the program.
#[test]
fn a_local_broker_whose_runtime_has_ended_has_ended() {
    let (first, second) = (runtime(), runtime());
    let (sender, _receiver) = mpsc::channel(10);
    let (broker, listening) = first.block_on(async {
        let broker = MessageStream::new();
        broker.flush().await.unwrap();
        let listening = broker.listen("job", sender).await.unwrap();
        broker.flush().await.unwrap();
        (broker, listening)
    });
    second.block_on(async {
        let mut flush = pin!(broker.flush());
        assert!(flush.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        first.shutdown_background();
        assert!(matches!(flush.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(LocalError::Ended))));
        assert!(poll_once(broker.hangup(&listening)).is_ready());
        assert!(matches!(poll_once(broker.put("job", &1)), Poll::Ready(Err(LocalError::Ended))));
    });
}

/// Whoever publishes first may do so on a runtime that ends soon, or on none: the broker's tasks live on its own.
#[test]
fn publishing_begins_on_any_runtime_or_none() {
    let own = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let broker = {
        let _inside = own.enter();
        MessageStream::new()
    };
    let (sender, mut receiver) = mpsc::channel(10);
    let begun = std::thread::spawn({
        let broker = broker.clone();
        // This thread has no runtime; with room in the mailbox nothing waits.
        move || (poll_once(broker.put("job", &1)).is_ready(), poll_once(broker.listen("job", sender)).is_ready())
    });
    assert_eq!(begun.join().unwrap(), (true, true));
    runtime().block_on(broker.put("job", &2)).unwrap();
    own.block_on(async {
        broker.flush().await.unwrap();
        assert!(receiver.recv().await.is_some());
    });
}
