//! Dialogues between clients and the broker, written down and held to, byte for byte.
//!
//! A file holds several cases. Each is played against a broker of its own:
//!
//! ```text
//! # A comment: which rule of the contract this is about.
//! == the title of a case
//! only json lines                  about the characters of JSON or the ends of lines: not played in other encodings
//! not over websockets              about what comes before there is a WebSocket: not played over one
//! not of nodes: why                what a broker alone does otherwise than one of several: not played if brokers are nodes
//! set limits.line = 64KiB
//! token mst_a: listen = ['a']      who shows this token may do that; several rights are separated by "; "
//! A> {"action":"ping"}             client A says this line
//! A< {"action":"pong"}             and gets exactly this one next
//! A>> {"action":"pi                sends these bytes, without an end of line; \r \n \t \\ and \xNN are escapes
//! A> (eof)                         says that it will send no more; (reset) breaks the connection off
//! A< (eof)                         gets the end of the file; (nothing) is silence so far
//! ```
//!
//! Receipts say where a stream stands, and since when. A line that is expected without `"position"` says nothing about that; in one
//! that has it, `E1`, `E2`, ... stand for the epochs of the case, and stand for themselves in what a client says once they are known.
//!
//! A client connects when it is first named. `...` in the text of a reason stands for any text.
//!
//! Before another client speaks, what the last one said has taken effect: the runner makes sure with a ping, unless
//! the last one sent bytes that are not whole lines. In another encoding what is said and what is expected is converted
//! line by line, so that a number may be spelled otherwise on its way. At the end of a case every client that is still connected must
//! have got nothing more than the transcript says.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::{Broker, Client, Encoding, Settings, Transport, are_nodes, settings};

/// A file of cases.
#[derive(Debug)]
pub(crate) struct Transcript {
    name: String,
    cases: Vec<Case>,
}

#[derive(Debug)]
struct Case {
    title: String,
    only_json_lines: bool,
    not_over_websockets: bool,
    not_of_nodes: bool,
    settings: Settings,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    line: usize,
    client: char,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Say(String),
    Bytes(Vec<u8>),
    Finish,
    Reset,
    Hear(String),
    HearEnd,
    HearNothing,
}

impl Transcript {
    /// Reads `transcripts/NAME.txt`.
    pub(crate) fn read(name: &str) -> Self {
        let text = fs::read_to_string(folder().join(format!("{name}.txt"))).expect("the transcript");
        Self { name: name.to_owned(), cases: parse(name, &text) }
    }

    /// The names of all transcripts there are.
    pub(crate) fn names() -> Vec<String> {
        let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<_> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// Plays every case over the given transport, in the given encoding.
    pub(crate) fn play(&self, transport: Transport, encoding: Encoding) {
        let is_played = |case: &&Case| match transport {
            Transport::WebSocket => !case.not_over_websockets,
            Transport::Tcp | Transport::Tls | Transport::Unix => encoding == Encoding::JsonLines || !case.only_json_lines,
        };
        for case in self.cases.iter().filter(is_played).filter(|case| !(case.not_of_nodes && are_nodes())) {
            let settings = case.settings.clone();
            let broker = Broker::start(match transport {
                Transport::Tls => settings.encrypted(),
                Transport::WebSocket => settings.http(),
                Transport::Tcp | Transport::Unix => settings,
            });
            let mut player = Player { broker, transport, encoding, clients: BTreeMap::new(), unsettled: None, epochs: Vec::new() };
            for step in &case.steps {
                player.play(step, &format!("{}.txt:{} ({}, {transport:?}, {encoding:?})", self.name, step.line, case.title));
            }
            player.end(&format!("{}.txt ({}, {transport:?}, {encoding:?}), at the end", self.name, case.title));
        }
    }
}

/// One case as it is played.
struct Player {
    broker: Broker,
    transport: Transport,
    encoding: Encoding,
    /// Those that are still connected, as far as the transcript says.
    clients: BTreeMap<char, Client>,
    /// Who spoke last, if what it said may not have taken effect yet.
    unsettled: Option<char>,
    /// The epochs that were told so far.
    epochs: Vec<String>,
}

impl Player {
    fn play(&mut self, step: &Step, place: &str) {
        let speaks = matches!(step.what, What::Say(_) | What::Bytes(_) | What::Finish | What::Reset);
        if speaks && self.unsettled.is_some_and(|last| last != step.client) {
            let last = self.unsettled.take().unwrap();
            self.clients.get_mut(&last).unwrap().settle();
        }
        let client = self.clients.entry(step.client).or_insert_with(|| {
            let mut client = self.broker.client_over(self.transport, self.encoding);
            client.tell_positions();
            client
        });
        match &step.what {
            What::Say(line) => {
                let named =
                    (1..).zip(&self.epochs).fold(line.clone(), |line, (number, epoch)| line.replace(&format!("\"E{number}\""), epoch));
                client.send(&named);
            }
            What::Bytes(bytes) => client.send_lines(bytes),
            What::Finish => client.finish(),
            What::Reset => self.clients.remove(&step.client).unwrap().reset(),
            What::Hear(pattern) => match client.line() {
                Some(line) => {
                    let told = without_times(&line, &mut self.epochs, pattern.contains("\"position\""));
                    assert!(matches_pattern(&told, &client.as_heard(pattern)), "{place}\nexpected {pattern}\n     got {line}");
                }
                None => panic!("{place}\nexpected {pattern}\n     got the end of the file"),
            },
            What::HearEnd => {
                let line = client.line();
                assert!(line.is_none(), "{place}\nexpected the end of the file\n     got {}", line.unwrap());
                self.clients.remove(&step.client);
            }
            What::HearNothing => expect_nothing(client, place),
        }
        match step.what {
            What::Say(_) => self.unsettled = Some(step.client),
            What::Bytes(_) | What::Finish | What::Reset | What::Hear(_) | What::HearEnd | What::HearNothing => {
                if self.unsettled == Some(step.client) {
                    self.unsettled = None;
                }
            }
        }
    }

    fn end(mut self, place: &str) {
        for (name, client) in &mut self.clients {
            expect_nothing(client, &format!("{place} {name}"));
        }
        self.broker.assert_well();
    }
}

fn expect_nothing(client: &mut Client, place: &str) {
    client.settle();
    let more = client.waiting();
    assert!(more.is_none(), "{place}\nexpected nothing\n     got {}", more.unwrap());
}

/// The answer to a session without the broker's life, and a receipt without its age, which differ, and with short names in place of epochs, or without its position.
fn without_times(line: &str, epochs: &mut Vec<String>, with_position: bool) -> String {
    const LIFE: &str = ",\"broker\":\"";
    if let Some(at) = line.find(LIFE).filter(|_| line.starts_with("{\"action\":\"session\"")) {
        let (start, end) = (at + LIFE.len(), at + LIFE.len() + 16);
        assert!(line[start..end].bytes().all(|byte| byte.is_ascii_hexdigit()), "the broker's life is no name: {line}");
        return format!("{}I{}", &line[..start], &line[end..]);
    }
    const ENTRY: &str = "{\"action\":\"put\",\"stream\":\"$streams/";
    if line.starts_with(ENTRY) {
        return ["bytes", "header_time", "message_time"]
            .iter()
            .fold(with_short_epoch(&without_nodes(line), epochs), |line, key| without_number(&line, key));
    }
    if !["receipt", "joined"].iter().any(|action| line.starts_with(&format!("{{\"action\":\"{action}\""))) {
        return line.to_owned();
    }
    let mut line = line.to_owned();
    if let Some(at) = line.find(",\"age\":") {
        let end = at + 1 + line[at + 1..].find([',', '}']).unwrap();
        line.replace_range(at..end, "");
    }
    let Some(at) = line.find(EPOCH) else { return line };
    if !with_position {
        let end = at + line[at..].find('}').unwrap() + 1;
        line.replace_range(at..end, "");
        return line;
    }
    with_short_epoch(&line, epochs)
}

const EPOCH: &str = ",\"position\":{\"epoch\":";

/// An entry of the directory without what only nodes tell: at which of them the listeners are.
fn without_nodes(line: &str) -> String {
    match line.rfind(",\"nodes\":{").filter(|_| are_nodes()) {
        Some(at) => {
            let end = at + line[at..].find('}').unwrap() + 1;
            format!("{}{}", &line[..at], &line[end..])
        }
        None => line.to_owned(),
    }
}

/// A line with 0 in place of the number behind a key.
fn without_number(line: &str, key: &str) -> String {
    let key = format!("\"{key}\":");
    let at = line.find(&key).unwrap_or_else(|| panic!("{key} in {line}")) + key.len();
    let end = at + line[at..].find(|character: char| !character.is_ascii_digit()).unwrap();
    if at == end { line.to_owned() } else { format!("{}0{}", &line[..at], &line[end..]) }
}

/// A line with a short name in place of the epoch of its position.
fn with_short_epoch(line: &str, epochs: &mut Vec<String>) -> String {
    let mut line = line.to_owned();
    let Some(at) = line.find(EPOCH) else { return line };
    let start = at + EPOCH.len();
    let end = start + line[start..].find(',').unwrap();
    let epoch = line[start..end].to_owned();
    let number = epochs.iter().position(|known| *known == epoch).unwrap_or_else(|| {
        epochs.push(epoch);
        epochs.len() - 1
    });
    line.replace_range(start..end, &format!("\"E{}\"", number + 1));
    line
}

/// Whether a line is what the transcript says. `...` stands for any text within one JSON string.
fn matches_pattern(line: &str, pattern: &str) -> bool {
    let reason = pattern.find(r#""reason":""#).unwrap_or(pattern.len());
    let Some(gap) = pattern[reason..].find("...").map(|at| reason + at) else { return line == pattern };
    let Some(rest) = line.strip_prefix(&pattern[..gap]) else { return false };
    let pattern = &pattern[gap + 3..];
    // Up to the quote that ends the string: the text in place of the dots cannot swallow other keys.
    let mut end = 0;
    loop {
        if matches_pattern_rest(&rest[end..], pattern) {
            return true;
        }
        match rest[end..].chars().next() {
            None | Some('"') => return false,
            Some('\\') => end += 1 + rest[end + 1..].chars().next().map_or(0, char::len_utf8),
            Some(other) => end += other.len_utf8(),
        }
    }
}

/// The same for what follows the first dots, which may hold further ones.
fn matches_pattern_rest(line: &str, pattern: &str) -> bool {
    if pattern.contains("...") {
        matches_pattern(&format!(r#""reason":"{line}"#), &format!(r#""reason":"{pattern}"#))
    } else {
        line == pattern
    }
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/broker/transcripts"))
}

fn parse(name: &str, text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix("== ") {
            cases.push(Case {
                title: title.to_owned(),
                only_json_lines: false,
                not_over_websockets: false,
                not_of_nodes: false,
                settings: settings(),
                steps: Vec::new(),
            });
            continue;
        }
        let case = cases.last_mut().unwrap_or_else(|| panic!("{name}.txt:{number}: a case begins with ==\n{line}"));
        if line == "only json lines" {
            case.only_json_lines = true;
            continue;
        }
        if line == "not over websockets" {
            case.not_over_websockets = true;
            continue;
        }
        if let Some(why) = line.strip_prefix("not of nodes: ") {
            assert!(!why.is_empty());
            case.not_of_nodes = true;
            continue;
        }
        if let Some((key, value)) = line.strip_prefix("set ").and_then(|rest| rest.split_once(" = ")) {
            assert!(case.steps.is_empty(), "{name}.txt:{number}: settings come before what is said");
            case.settings = std::mem::take(&mut case.settings).set(key, value);
            continue;
        }
        if let Some((token, rights)) = line.strip_prefix("token ").and_then(|rest| rest.split_once(": ")) {
            case.settings = std::mem::take(&mut case.settings).token(token, rights);
            continue;
        }
        let (client, what) = step(line).unwrap_or_else(|| panic!("{name}.txt:{number}: cannot be read\n{line}"));
        case.steps.push(Step { line: number, client, what });
    }
    cases
}

fn step(line: &str) -> Option<(char, What)> {
    let client = line.chars().next().filter(char::is_ascii_uppercase)?;
    let what = if let Some(bytes) = line[1..].strip_prefix(">> ") {
        What::Bytes(unescape(bytes)?)
    } else if let Some(said) = line[1..].strip_prefix("> ") {
        match said {
            "(eof)" => What::Finish,
            "(reset)" => What::Reset,
            _ => What::Say(said.to_owned()),
        }
    } else {
        match line[1..].strip_prefix("< ")? {
            "(eof)" => What::HearEnd,
            "(nothing)" => What::HearNothing,
            heard => What::Hear(heard.to_owned()),
        }
    };
    Some((client, what))
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let (byte, length) = match rest.as_bytes().get(at + 1)? {
            b'n' => (b'\n', 2),
            b'r' => (b'\r', 2),
            b't' => (b'\t', 2),
            b'\\' => (b'\\', 2),
            b'x' => (u8::from_str_radix(rest.get(at + 2..at + 4)?, 16).ok()?, 4),
            _ => return None,
        };
        bytes.push(byte);
        rest = &rest[at + length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

#[test]
fn steps_are_read_as_the_manual_says() {
    assert_eq!(step(r#"A> {"action":"ping"}"#), Some(('A', What::Say(r#"{"action":"ping"}"#.to_owned()))));
    assert_eq!(step(r"B>> \x16\x03\r\n\\"), Some(('B', What::Bytes(b"\x16\x03\r\n\\".to_vec()))));
    assert_eq!(step("C> (eof)"), Some(('C', What::Finish)));
    assert_eq!(step("C< (nothing)"), Some(('C', What::HearNothing)));
    for wrong in ["a> x", "A x", "A>x", r"A>> \q", r"A>> \x1"] {
        assert_eq!(step(wrong), None, "{wrong}");
    }
}

#[test]
fn dots_stand_for_text_and_for_nothing_else() {
    let error = |reason: &str, end: &str| format!(r#"{{"message":{{"code":"limit","reason":"{reason}"}}{end}}}"#);
    for reason in ["", "limits.line is 5", r#"with \"quotes\" in it"#] {
        assert!(matches_pattern(&error(reason, ""), &error("...", "")), "{reason}");
    }
    assert!(matches_pattern(&error("the most is 5 (limits.line)", ""), &error("...5...limits.line...", "")));
    assert!(!matches_pattern(&error("the most is 6 (limits.line)", ""), &error("...5...limits.line...", "")));
    assert!(!matches_pattern(&error("a", r#","stream":"s""#), &error("...", "")), "another key is not text");
    assert!(!matches_pattern(&error("a", r#","stream":"s""#), &error("...", r#","stream":"t""#)));
    assert!(!matches_pattern(r#"{"message":"..."}"#, r#"{"message":"x"}"#));
    assert!(!matches_pattern(r#"{"message":"x"}"#, r#"{"message":"..."}"#), "dots in a message are dots");
}
