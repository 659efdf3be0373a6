//! A broker inside a program: threads and tasks of one process meet in streams, and others may join over TCP.
//!
//! ```text
//! cargo run --example in_process
//! ```
#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use anyhow::anyhow;
use msgstream::broker::Settings;
use msgstream::client::{Event, RemoteStream};
use msgstream::local::MessageStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let broker = MessageStream::new();

    // Anything that takes events may listen: here a channel of the standard library, read by a thread of its own.
    let (sender, receiver) = std::sync::mpsc::channel();
    broker.listen("job", sender).await?;
    let watching = std::thread::spawn(move || {
        for event in receiver {
            match event {
                Event::Header(content) => println!("thread: it stands at {content}"),
                Event::Message(content) => println!("thread: {content}"),
                Event::Ended { message: Some(last) } => println!("thread: ended with {last}"),
                other => println!("thread: {other:?}"),
            }
        }
    });

    // The same streams over TCP, for other programs.
    let server = broker.serve(&["127.0.0.1:0".parse()?], &Settings::default())?;
    let address = server.addresses()[0].to_string();
    println!("listening on {address}");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async move { drop(stopped.await) }, std::future::pending()));

    for k in 1..=3 {
        // Whoever joins gets the header, and then every message after it.
        broker.put_with_header("job", &k, &format!("step {k}")).await?;
    }
    broker.listen("job", |event| println!("late closure: {event:?}")).await?;
    broker.put("job", "almost there").await?;

    let remote = RemoteStream::connect(&address).await?;
    let mut listener = remote.listen("job").await?;
    listener.joined().await;
    let receipt = broker.close_with("job", "done").await?;
    println!("{} listeners were told of the end", receipt.listeners.unwrap_or(0));
    while let Some(event) = listener.next().await {
        println!("over TCP: {event:?}");
    }

    watching.join().map_err(|_| anyhow!("the thread panicked"))?;
    drop(stop);
    serving.await??;
    Ok(())
}
