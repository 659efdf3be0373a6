//! `msgstream streams`: which streams there are, and how they stand.

use std::cmp::Reverse;
use std::io::IsTerminal;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::time::sleep;

use crate::client::{Listed, Options};
use crate::job::monitor::Message;

use super::broker::{Broker, block_on};
use super::clock::words_of_age;
use super::ending::{Ending, How};
use super::entry::Entry;
use super::exit::{Exit, Failure, Outcome};
use super::standard::{is_read, say};
use super::table::Table;
use super::text::inline;
use super::view::{Colours, amount, size};

/// Show which streams there are, and how they stand
///
/// The newest come last, next to the prompt; with --watch they come first. A job that is lost or has failed is shown as such for as long
/// as the broker remembers its end.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Only streams whose names begin so [default: all]
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
    /// Show them again every second, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Print each stream as a JSON object on a line of its own
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    broker: Broker,
}

const AFTER_HELP: &str = "\
Examples:
  msgstream streams
  msgstream streams fit- --watch
  msgstream streams --json | jq -r 'select(.state == \"running\").stream'

Exit codes:
   0  the streams were shown
  64  the command line cannot be understood
  69  the broker cannot be reached, or the connection was lost
  74  standard output cannot be written
  77  the broker refused it
  78  the configuration of clients cannot be used
 130  interrupted with Ctrl-C";

/// How long a list is shown before it is made anew.
const PAUSE: Duration = Duration::from_secs(1);

/// Clears the terminal, and begins at its top.
const CLEAR: &str = "\u{1b}[H\u{1b}[J";

pub(crate) fn run(args: Args) -> Outcome {
    block_on(async move {
        let work = async {
            let mut was_shown = false;
            loop {
                match show(&args).await {
                    // A broker that is away for a while is worth waiting for, and so is a certificate that is just being renewed.
                    Err(failure) if args.watch && (failure.exit == Exit::Unavailable || was_shown && failure.exit == Exit::Config) => {
                        say(failure.error);
                    }
                    shown => {
                        let goes_on = shown? && args.watch;
                        was_shown = true;
                        if !goes_on {
                            return Ok(Exit::Fine);
                        }
                    }
                }
                sleep(PAUSE).await;
            }
        };
        tokio::select! {
            outcome = work => outcome,
            _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
        }
    })
}

/// Shows them once. False if nobody reads it.
async fn show(args: &Args) -> Result<bool, Failure> {
    let listed = args.broker.list(&args.prefix, &Options::default()).await?;
    let mut streams: Vec<Row> = listed.into_iter().map(|(name, listed)| Row::new(name, &listed)).collect();
    if args.json {
        let lines: String = streams.iter().map(|stream| format!("{}\n", stream.json())).collect();
        return is_read(lines.as_bytes());
    }
    let is_drawn = args.watch && std::io::stdout().is_terminal();
    streams.sort_by_key(|stream| stream.entry.latest());
    if is_drawn {
        streams.sort_by_key(|stream| Reverse(stream.entry.latest()));
    }
    let (rows, columns) = size();
    let columns = if std::io::stdout().is_terminal() { columns } else { usize::MAX };
    let mut table = table(&streams, columns, Colours::of_standard_output(), Timestamp::now());
    if is_drawn {
        let hidden = (table.len() + 1).saturating_sub(rows);
        if hidden > 0 {
            table.truncate(rows.saturating_sub(2).max(1));
            table.push(format!("{} more", hidden + 1));
        }
        is_read(format!("{CLEAR}{}\n", table.join("\n")).as_bytes())
    } else if streams.is_empty() {
        say(if args.prefix.is_empty() { "there are no streams".to_owned() } else { format!("no stream begins with {:?}", args.prefix) });
        Ok(true)
    } else {
        is_read(format!("{}\n", table.join("\n")).as_bytes())
    }
}

/// A stream as it is shown.
#[derive(Debug)]
struct Row {
    name: String,
    listed: Listed,
    entry: Entry,
    /// How its job has ended, if its header tells.
    how: Option<How>,
    title: Option<String>,
    progress: String,
}

impl Row {
    fn new(name: String, listed: &Listed) -> Self {
        let entry = listed.entry.as_ref().map(Entry::of).unwrap_or_default();
        let ending = listed.last.iter().chain(&listed.header).find_map(Ending::of_content);
        let (how, message) = (ending.map(|ending| ending.how), listed.header.as_ref().and_then(Message::of));
        let (title, progress) = match message {
            Some(Message::Join(join)) => (join.title, join.k.map(|k| amount(k, join.total, join.units.as_deref()))),
            Some(Message::Start(start)) => (start.title, None),
            _ => (None, None),
        };
        Self { name, listed: listed.clone(), entry, how, title, progress: progress.unwrap_or_default() }
    }

    fn cells(&self, now: Timestamp) -> [String; 6] {
        let age = self.entry.quiet(now).map(words_of_age);
        let what = [inline(&self.progress), self.title.as_deref().map(inline).unwrap_or_default()];
        [
            inline(&self.name),
            self.entry.word(self.how).to_owned(),
            self.entry.listeners.to_string(),
            self.entry.messages.to_string(),
            age.unwrap_or_else(|| "-".to_owned()),
            what.iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>().join("  "),
        ]
    }

    fn json(&self) -> serde_json::Value {
        let parsed = |content: &crate::job::content::Content| content.parse::<serde_json::Value>().ok();
        let mut object = self.listed.entry.as_ref().and_then(parsed).unwrap_or_else(|| json!({}));
        if let Some(fields) = object.as_object_mut() {
            fields.insert("stream".to_owned(), json!(self.name));
            fields.insert("header".to_owned(), self.listed.header.as_ref().and_then(parsed).unwrap_or_default());
            fields.insert("last".to_owned(), self.listed.last.as_ref().and_then(parsed).unwrap_or_default());
        }
        object
    }
}

const TABLE: Table<6> = Table {
    headings: ["stream", "state", "listeners", "messages", "quiet for", ""],
    right: [false, false, true, true, true, false],
    painted: 1,
};

/// The rows of the table, no wider than the terminal.
fn table(streams: &[Row], columns: usize, colours: Colours, now: Timestamp) -> Vec<String> {
    let rows: Vec<_> = streams.iter().map(|stream| (stream.cells(now), stream.entry.paint(stream.how))).collect();
    TABLE.lines(&rows, columns, colours)
}
