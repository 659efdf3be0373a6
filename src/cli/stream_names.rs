//! `msgstream stream-names`: what a shell offers where a stream is to be named. The scripts of `completions` ask for it.

use std::time::Duration;

use tokio::time::timeout;

use crate::client::{ENTRIES, Options, Waits};
use crate::wire::units::ByteSize;

use super::broker::{Broker, block_on};
use super::exit::{Exit, Failure, Outcome};
use super::standard::print;

/// The name of the subcommand.
pub(crate) const STREAM_NAMES: &str = "stream-names";

/// Print the names of streams for a shell
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How the names begin
    #[arg(default_value = "")]
    prefix: String,
    #[command(flatten)]
    broker: Broker,
}

/// Nobody waits for longer when a key is pressed.
const TIME: Duration = Duration::from_millis(300);

/// Nobody reads more.
const MOST: usize = 200;

/// What waits here, of entries of some 400 bytes.
const QUEUE: ByteSize = ByteSize(256 << 10);

/// Without a broker there is nothing to offer, and nothing to say.
pub(crate) fn run(args: Args) -> Outcome {
    block_on(async move {
        let mut names = String::new();
        // What has come by then is worth showing.
        let _ = timeout(TIME, gather(&args, &mut names)).await;
        print(names.as_bytes())?;
        Ok(Exit::Fine)
    })
}

async fn gather(args: &Args, names: &mut String) -> Result<(), Failure> {
    let remote = args.broker.connect(Options::default().listener_queue(QUEUE)).await?;
    let mut listener = remote.listen_prefix(&format!("{ENTRIES}{}", args.prefix)).await?;
    // Or it is cut off, since there are more than anybody reads.
    let mut left = listener.joined().await.unwrap_or(MOST).min(MOST);
    while left > 0
        && let Some((stream, first)) = listener.next_of_all().await
    {
        let Some(name) = stream.strip_prefix(ENTRIES).filter(|_| matches!(first, Waits::Joined(_))) else { continue };
        left -= 1;
        // A line is a name.
        if !name.chars().any(char::is_control) {
            names.push_str(name);
            names.push('\n');
        }
    }
    Ok(())
}
