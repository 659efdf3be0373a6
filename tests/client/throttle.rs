//! The policy `throttle` in a program that is the broker: a listener that reads slowly over TCP holds the publishers here
//! back, as it holds those that come by socket.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use msgstream::broker::{Policy, Settings};
use msgstream::local::{LocalError, MessageStream};
use msgstream::units::{ByteSize, Span};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;

const SIZE: usize = 16 << 10;

struct Held {
    broker: MessageStream,
    stop: oneshot::Sender<()>,
    lines: Lines<BufReader<TcpStream>>,
}

/// A broker that throttles, served over TCP, and a listener to `job` that has read its receipt and nothing since.
async fn start(throttle: Duration) -> Held {
    let mut settings = Settings::default();
    settings.outbox.policy = Policy::Throttle;
    settings.outbox.limit = ByteSize(20 * SIZE);
    settings.outbox.throttle_time = Span(throttle);
    settings.outbox.drain_time = Span(Duration::from_millis(20));
    settings.tcp.send_buffer = ByteSize(SIZE);
    let broker = MessageStream::with_settings(&settings);
    let server = broker.serve(&["127.0.0.1:0".parse().unwrap()], &settings).unwrap();
    let address = server.addresses()[0].to_string().parse().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(server.run(async move { drop(stopped.await) }, std::future::pending()));
    let socket = TcpSocket::new_v4().unwrap();
    // So that little is out of the broker's sight.
    socket.set_recv_buffer_size(SIZE as u32).unwrap();
    let mut socket = socket.connect(address).await.unwrap();
    socket.write_all(b"{\"action\":\"listen\",\"stream\":\"job\",\"receipt\":1}\n").await.unwrap();
    let mut lines = BufReader::new(socket).lines();
    assert!(lines.next_line().await.unwrap().unwrap().contains("receipt"));
    Held { broker, stop, lines }
}

fn message(number: usize) -> String {
    format!("{number} {}", "x".repeat(SIZE))
}

/// Publishes until a put waits although everybody else had their turn; returns how many were taken, and the one that waits.
async fn publish_until_held(broker: &MessageStream) -> (usize, Pin<Box<dyn Future<Output = Result<(), LocalError>> + Send>>) {
    for number in 0..1000 {
        let local = broker.clone();
        let mut put: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move { local.put("job", &message(number)).await });
        let mut turns = 0;
        loop {
            match put.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(done) => break done.unwrap(),
                Poll::Pending if turns == 1000 => return (number, put),
                Poll::Pending => turns += 1,
            }
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
    }
    panic!("nothing held the publisher back");
}

#[tokio::test]
async fn a_slow_remote_listener_holds_a_publisher_in_the_program_back_and_misses_nothing() {
    let Held { broker, mut lines, stop: _stop } = start(Duration::from_secs(30)).await;
    let (held_at, held) = publish_until_held(&broker).await;
    assert!(held_at > 10, "{held_at}");

    // The clones are one publisher, as the streams of one connection are; one of its own waits for nobody else's listeners.
    broker.independent_publisher().put("other", &1).await.unwrap();
    // What was taken before has taken effect, whoever is held.
    broker.flush().await.unwrap();

    let publishing = tokio::spawn({
        let broker = broker.clone();
        async move {
            held.await.unwrap();
            for number in held_at + 1..held_at + 200 {
                broker.put("job", &message(number)).await.unwrap();
            }
            broker.close("job").await.unwrap();
        }
    });
    for number in 0..held_at + 200 {
        let line = lines.next_line().await.unwrap().unwrap();
        let start = format!("{{\"action\":\"put\",\"stream\":\"job\",\"message\":\"{number} ");
        assert!(line.starts_with(&start), "{number}: {}", &line[..line.len().min(200)]);
    }
    assert_eq!(lines.next_line().await.unwrap().unwrap(), r#"{"action":"close","stream":"job"}"#);
    publishing.await.unwrap();
}

#[tokio::test]
async fn nobody_is_held_longer_than_the_throttle_time() {
    let Held { broker, mut lines, stop: _stop } = start(Duration::from_millis(20)).await;
    for number in 0..500 {
        broker.put("job", &message(number)).await.unwrap();
    }
    let mut last = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        last = line;
    }
    // What does not fit within the drain time is dropped, the reason with it.
    assert!(last.contains("outbox.throttle_time") || last.starts_with(r#"{"action":"put","stream":"job""#), "{last}");
}

#[tokio::test]
async fn whoever_is_held_when_the_broker_stops_is_told() {
    let Held { broker, stop, lines: _lines } = start(Duration::from_secs(30)).await;
    let (_, held) = publish_until_held(&broker).await;
    stop.send(()).unwrap();
    assert!(matches!(held.await, Err(LocalError::Ended)));
    assert!(matches!(broker.put("job", &1).await, Err(LocalError::Ended)));
}
