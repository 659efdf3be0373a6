//! A listener: follows streams and prints what comes, until all of them have ended.
//!
//! ```text
//! cargo run --example listen -- fit build-7
//! ```
//!
//! It may be started before the jobs, while they run, or after them. It ends with 1 if it did not see every stream's end.
#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use anyhow::bail;
use clap::Parser;
use msgstream::client::{Backoff, Event, Listener, Options, RemoteStream, ServerAddress, ServerAddresses, StreamState};
use msgstream::job::Content;
use msgstream::job::monitor::Message;
use tokio::task::JoinSet;

/// Follow streams, and print what comes.
#[derive(Parser)]
struct Args {
    /// The streams
    #[arg(required = true)]
    streams: Vec<String>,
    /// Connect again when the connection is lost, for as long as it takes
    #[arg(long)]
    reconnect: bool,
    /// The broker
    #[arg(long, env = "MSGSTREAM_SERVER", default_value = ServerAddress::DEFAULT)]
    server: ServerAddresses,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let options = Options::default().reconnect(args.reconnect.then(Backoff::default));
    let broker = RemoteStream::connect_with(args.server, options).await?;

    // One connection for all streams, and a task for each, so that none waits for another.
    let mut following = JoinSet::new();
    for stream in &args.streams {
        following.spawn(follow(broker.listen(stream).await?));
    }
    let seen = following.join_all().await;
    if seen.contains(&false) {
        bail!("not every end was seen; those jobs may go on");
    }
    Ok(())
}

/// Prints a stream's events. True if the last of them is the stream's own end.
async fn follow(mut listener: Listener) -> bool {
    let stream = listener.stream().to_owned();
    if listener.joined().await.is_some_and(|joined| joined.state == StreamState::Waiting) {
        println!("{stream}: waiting for the job");
    }
    while let Some(event) = listener.next().await {
        match event {
            Event::Header(content) => println!("{stream}: joined at {}", in_words(&content)),
            Event::Message(content) => println!("{stream}: {}", in_words(&content)),
            Event::Reconnected { reason, .. } => println!("{stream}: connected again ({reason}); messages may be missing"),
            Event::Ended { message } => {
                let last = message.map(|content| format!(": {}", in_words(&content)));
                println!("{stream}: ended{}", last.unwrap_or_default());
                return true;
            }
            Event::CutOff(reason) => println!("{stream}: cut off: {reason}"),
            Event::Lost { reason } => println!("{stream}: connection lost: {reason}"),
            // Later versions may tell more.
            _ => {}
        }
    }
    false
}

/// What a job says, in words; any other content as it came.
fn in_words(content: &Content) -> String {
    match Message::of(content) {
        Some(Message::Start(start)) => format!("start of {}", start.title.as_deref().unwrap_or("a job")),
        Some(Message::Join(join)) => amount(join.k.unwrap_or(0.0), join.total, join.units),
        Some(Message::Progress(progress)) => {
            let done = amount(progress.k, progress.total, progress.units);
            match progress.text {
                Some(text) => format!("{done}, {text}"),
                None => done,
            }
        }
        Some(Message::Improvement(improvement)) => format!("improved to {}", improvement.value),
        Some(Message::Complete(complete)) => complete.result.map_or("complete".to_owned(), |result| format!("complete: {result}")),
        Some(Message::Log(log)) => log.text,
        _ => content.to_string(),
    }
}

fn amount(k: f64, total: Option<f64>, units: Option<String>) -> String {
    let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
    format!("{k}{of} {}", units.as_deref().unwrap_or("done"))
}
