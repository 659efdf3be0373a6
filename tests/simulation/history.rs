//! What happened in a simulation, in order: readable as a text, and as facts for the checker.

use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use msgstream::client::{Event, Position};
use tokio::time::Instant;

/// A client in the simulation; each life of a program is another one.
pub(crate) type Client = u32;

/// One listener of one client, from its `listen` to its end.
pub(crate) type Listening = u32;

/// What a client says of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// A message with this number; with a header in the same step, perhaps.
    Message {
        number: u32,
        has_header: bool,
    },
    /// A message that the broker must refuse.
    Wrong {
        number: u32,
    },
    Header {
        number: u32,
    },
    /// The end, with this number in its message; none without a message.
    End {
        number: Option<u32>,
    },
    Will {
        number: u32,
    },
    NoWill,
}

/// How a broker has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was killed, or its machine lost its power.
    Crashed,
    /// It was told to stop, and could not save all that it had.
    CutShort,
    /// It was told to stop, and left all that it had to the next one, if it could.
    Whole,
}

#[derive(Debug, Clone)]
#[expect(dead_code, reason = "some of it is only for the text")]
pub(crate) enum Fact {
    Says {
        client: Client,
        stream: usize,
        said: Said,
    },
    /// A confirmed message has taken effect.
    Done {
        client: Client,
        stream: usize,
        number: u32,
        position: Option<Position>,
    },
    /// A confirmed action has not.
    Failed {
        client: Client,
        stream: usize,
        number: u32,
        why: String,
    },
    Flushed {
        client: Client,
        outcome: String,
    },
    /// What was to be done by now is not.
    Stuck {
        client: Client,
        what: &'static str,
    },
    /// What a client says of itself at the end.
    Counts {
        client: Client,
        repeated: usize,
        waiting: usize,
    },
    Listens {
        listening: Listening,
        client: Client,
        stream: usize,
        after: Option<Position>,
        last: Option<u64>,
    },
    Hears {
        listening: Listening,
        event: Event,
        position: Option<Position>,
    },
    Leaves {
        listening: Listening,
    },
    /// How a client finds a stream of its own at the end, and what it was to find: its last header.
    Finds {
        client: Client,
        stream: usize,
        wanted: String,
        found: String,
    },
    /// It listens when all is over.
    Stays {
        listening: Listening,
    },
    /// A client's will has taken effect, and nobody else writes to the stream.
    WillStands {
        client: Client,
        stream: usize,
        number: u32,
    },
    /// The stream was closed since, so that the will is none any more.
    WillIsOver {
        client: Client,
        stream: usize,
        number: u32,
    },
    /// A client's last message to a stream, which everybody must get who stays.
    Last {
        client: Client,
        stream: usize,
        number: u32,
    },
    BrokerBegins {
        /// It begins with what others have left.
        has_store: bool,
    },
    BrokerEnds {
        panics: u64,
        end: Ended,
    },
    /// No broker begins, although all is well with its disk.
    NoBroker {
        why: String,
    },
    /// From now on what changes is saved, or is not.
    Saves {
        is_well: bool,
    },
    /// The broker has given a session, and says whether it knew it, how many of its lines it has taken, and what it calls itself.
    Session {
        client: Client,
        known: bool,
        taken: u64,
        life: String,
    },
    /// It holds it still.
    Back {
        client: Client,
    },
    /// The connection that held the client's session has ended, as the broker has read, or has let go of it.
    Away {
        client: Client,
    },
    /// It begins to end in order: from here on it may have no will any more.
    Retires {
        client: Client,
    },
    /// The program was killed, or its machine.
    Dies {
        client: Client,
    },
    Fault(String),
    /// A line was written.
    Line {
        link: u32,
        client: Client,
        by_broker: bool,
        line: String,
    },
}

/// What happened so far. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct History(Arc<Recorded>);

#[derive(Debug)]
struct Recorded {
    began: Instant,
    facts: Mutex<Vec<(Duration, Fact)>>,
}

impl History {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Recorded { began: Instant::now(), facts: Mutex::default() }))
    }

    pub(crate) fn add(&self, fact: Fact) {
        self.0.facts.lock().unwrap().push((self.0.began.elapsed(), fact));
    }

    pub(crate) fn take(&self) -> Vec<(Duration, Fact)> {
        std::mem::take(&mut self.0.facts.lock().unwrap())
    }
}

/// The history as a text, a line for each fact.
pub(crate) fn text(facts: &[(Duration, Fact)]) -> String {
    let mut text = String::new();
    for (at, fact) in facts {
        let at = at.as_secs_f64();
        let _ = match fact {
            Fact::Line { link, client, by_broker: false, line } => writeln!(text, "{at:9.3}  {client} > broker on {link}: {line}"),
            Fact::Line { link, client, by_broker: true, line } => writeln!(text, "{at:9.3}  {client} < broker on {link}: {line}"),
            Fact::Fault(fault) => writeln!(text, "{at:9.3}  *** {fault}"),
            other => writeln!(text, "{at:9.3}  {other:?}"),
        };
    }
    text
}

/// A line without the name of its session, which a client makes of what no seed decides.
pub(crate) fn without_session(line: &str) -> String {
    const KEY: &str = "\"session\":\"";
    match line.find(KEY).map(|at| at + KEY.len()).and_then(|at| Some((at, line.get(at..)?.find('"')?))) {
        Some((at, length)) => format!("{}...{}", &line[..at], &line[at + length..]),
        None => line.to_owned(),
    }
}
