//! The lines of the wire, and who was sent which.

use std::collections::{BTreeMap, BTreeSet};

use super::STREAMS;

/// The line that ends a connection which asked for its end.
pub(crate) const BYE: &str = "{\"action\":\"close\"}\n";
/// Stands for the end of a connection's lines.
pub(crate) const END: &str = "(end)\n";

/// The names that only the broker writes to, if anybody: they come behind those of clients.
const RESERVED: [&str; 4] = ["$streams/s0", "$streams/s3", "$streams/$z", "$z"];

/// How many names there are to listen to.
pub(crate) const NAMES: usize = STREAMS + RESERVED.len();

pub(crate) fn name(stream: usize) -> String {
    stream.checked_sub(STREAMS).map_or_else(|| format!("s{stream}"), |reserved| RESERVED[reserved].to_owned())
}

pub(crate) fn put_line(stream: &str, text: u16) -> String {
    format!("{{\"action\":\"put\",\"stream\":\"{stream}\",\"message\":{text}}}\n")
}

pub(crate) fn close_line(stream: &str, text: u16) -> String {
    format!("{{\"action\":\"close\",\"stream\":\"{stream}\",\"message\":{text}}}\n")
}

/// An end without a message.
pub(crate) fn close_bare(stream: &str) -> String {
    format!("{{\"action\":\"close\",\"stream\":\"{stream}\"}}\n")
}

/// Stands for the newest message that replaces what waits, and for how many messages it does so.
pub(crate) fn latest_line(line: &str, messages: u64) -> String {
    format!("(latest of {messages}) {line}")
}

/// Stands for the moment from which messages are replaced.
pub(crate) fn begin_latest_line(stream: &str) -> String {
    format!("(latest of {stream} from here)\n")
}

pub(crate) fn pong_line(text: u16) -> String {
    format!("{{\"action\":\"pong\",\"receipt\":{text}}}\n")
}

/// A line without the reason that an error gives, which is for people.
pub(crate) fn without_reason(line: &str) -> String {
    const REASON: &str = ",\"reason\":\"";
    let Some((before, reason)) = line.split_once(REASON) else { return line.to_owned() };
    let mut escaped = false;
    let end = reason.find(|character| {
        let ends = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        ends
    });
    assert!(end.is_some_and(|end| end > 0), "a reason without words or end: {line}");
    format!("{before}{}", &reason[end.unwrap_or_default() + 1..])
}

/// The answer to a session without the broker's life, which is another one each time.
pub(crate) fn without_life(line: &str) -> String {
    match line.find(",\"broker\":").filter(|_| line.starts_with("{\"action\":\"session\"")) {
        Some(at) => format!("{}}}\n", &line[..at]),
        None => line.to_owned(),
    }
}

/// The lines that connections were sent in one step, in order: to whom, and the text.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    log: Vec<(u32, String)>,
    pub(super) deaf: BTreeSet<u32>,
}

impl Delivered {
    pub(crate) fn deliver(&mut self, to: u32, line: String) -> bool {
        if self.deaf.contains(&to) {
            return false;
        }
        self.log.push((to, line));
        true
    }

    /// How many lines have been delivered since they were taken.
    pub(crate) fn count(&self) -> usize {
        self.log.len()
    }

    pub(crate) fn finish(&mut self, to: u32, last: Option<String>) {
        for line in last.into_iter().chain([END.to_owned()]) {
            self.deliver(to, line);
        }
        self.deaf.insert(to);
    }

    /// What each connection has got since the last call; between connections the order is free.
    pub(crate) fn take(&mut self) -> BTreeMap<u32, String> {
        let mut all = BTreeMap::<u32, String>::new();
        for (to, line) in self.log.drain(..) {
            all.entry(to).or_default().push_str(&line);
        }
        all
    }
}
