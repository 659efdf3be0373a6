//! `msgstream nodes`: which nodes have the broker's streams in common, and how they do.

use std::io::IsTerminal;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::client::{ClientError, Options};
use crate::job::content::Content;

use super::broker::{Broker, block_on};
use super::clock::words_of_age;
use super::exit::{Exit, Failure, Outcome};
use super::standard::is_read;
use super::table::Table;
use super::text::inline;
use super::view::{Colours, Paint, size};

/// Show which nodes have the broker's streams in common, and how they do
///
/// Any node can be asked. What stands in the list is what each node has said within the last seconds; one that is gone is not in it. The
/// eldest keeps the state of the space, from which new nodes begin.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Print each node as a JSON object on a line of its own
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    broker: Broker,
}

const AFTER_HELP: &str = "\
Examples:
  msgstream nodes
  msgstream nodes --server north.example
  msgstream nodes --json | jq -r '.node + \" \" + .addresses[0]'

Exit codes:
   0  the nodes were shown
   1  the broker is on its own: it is not one of several nodes
  64  the command line cannot be understood
  69  the broker cannot be reached, is cut off from the other nodes, or the connection was lost
  74  standard output cannot be written
  77  the broker refused it
  78  the configuration of clients cannot be used";

/// A node that does not hear the others answers when it does.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(args: Args) -> Outcome {
    block_on(async move {
        let told = args.broker.nodes(&Options::default().answer_time(PATIENCE)).await.map_err(failure)?;
        let nodes: Vec<_> = told.into_iter().map(|(name, told)| Node { stand: told.parse().unwrap_or_default(), name, told }).collect();
        if nodes.is_empty() {
            return Err(Failure::new(Exit::Failed, "this broker is on its own: nodes.nats is not set"));
        }
        let lines = if args.json { nodes.iter().map(Node::json).collect() } else { table(&nodes) };
        is_read(format!("{}\n", lines.join("\n")).as_bytes())?;
        Ok(Exit::Fine)
    })
}

fn failure(error: ClientError) -> Failure {
    match error {
        ClientError::Denied(_) => {
            Failure::new(Exit::Refused, format!("{error}; to see the nodes takes admin = true, which who runs the broker can give you"))
        }
        ClientError::Lost(why) if why.contains("did not answer") => {
            Failure::new(Exit::Unavailable, format!("{why}: it may be cut off from the other nodes, which its /readyz and its log tell"))
        }
        error => error.into(),
    }
}

/// How a node does, as it says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stand {
    addresses: Vec<String>,
    version: String,
    since: i64,
    connections: u64,
    listeners: u64,
    messages: u64,
    keeps: bool,
}

struct Node {
    name: String,
    stand: Stand,
    told: Content,
}

impl Node {
    fn json(&self) -> String {
        let mut object = self.told.parse::<serde_json::Value>().unwrap_or_else(|_| json!({}));
        if let Some(fields) = object.as_object_mut() {
            fields.insert("node".to_owned(), json!(self.name));
        }
        object.to_string()
    }

    fn cells(&self, now: Timestamp) -> [String; 8] {
        let Stand { addresses, version, since, connections, listeners, messages, keeps } = &self.stand;
        // The clocks of two machines differ.
        let age = u64::try_from(now.as_second() - since).unwrap_or(0);
        let addresses = if addresses.is_empty() { "-".to_owned() } else { addresses.join(", ") };
        let number = u64::to_string;
        [
            inline(&self.name),
            inline(version),
            words_of_age(age),
            number(connections),
            number(listeners),
            number(messages),
            if *keeps { "yes" } else { "" }.to_owned(),
            inline(&addresses),
        ]
    }
}

const TABLE: Table<8> = Table {
    headings: ["node", "version", "up for", "clients", "listeners", "messages", "keeper", "addresses"],
    right: [false, false, true, true, true, true, false, false],
    painted: 0,
};

fn table(nodes: &[Node]) -> Vec<String> {
    let columns = if std::io::stdout().is_terminal() { size().1 } else { usize::MAX };
    let now = Timestamp::now();
    let rows: Vec<_> = nodes.iter().map(|node| (node.cells(now), Paint::Plain)).collect();
    TABLE.lines(&rows, columns, Colours::of_standard_output())
}
