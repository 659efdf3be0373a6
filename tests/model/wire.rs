//! The model's steps as lines of several connections, taken by a broker without sockets: decoder, reader, runs, actor,
//! core and outboxes.
//!
//! A history is made of bytes, three a step, so that a fuzzer can change it and a file can hold it:
//!
//! 1. low half: what is done; high half: by whom (below 8: by the same connection as before),
//! 2. the stream, whether a receipt and a header are asked for, how the line is spelled,
//! 3. the message, a number; the upper bits of one that is none say how a listener listens, or that it stops reading.

#[allow(dead_code, reason = "the tests of connections use all of it")]
#[path = "../connection/pipe.rs"]
mod pipe;

use std::array;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use msgstream::broker::Settings;
use msgstream::internal::broker::actor::Actor;
use msgstream::internal::broker::assemble;
use msgstream::internal::broker::connection::{ConnectionContext, serve};
use msgstream::internal::wire::json_lines::JsonLines;
use msgstream::units::{ByteSize, Span};
use tokio::time::{advance, sleep};

use super::newest;
use super::prefixes::OF_CLIENTS;
use super::spelling::{LONGEST_HEADER, MISTAKES, line};
use super::{
    BYE, Begin, CONNECTIONS, END, ENDED_TIME, MOST_LISTENS, MOST_SESSIONS, MOST_STORED, MOST_STREAMS, Model, SESSION_TIME, SESSIONS,
    STREAMS, Step, Terms, tight, without_life, without_reason,
};
use pipe::{Peer, pipe, without_positions};

/// More would only make a failure longer to read.
const LONGEST: usize = 300;

/// What passes behind each turn, so that nobody leaves at the same time as another.
const MOMENT: Duration = Duration::from_millis(1);

const HALF_A_SECOND: Duration = Duration::from_millis(500);

/// Longer than any time limit of a broker.
const NEVER: Duration = Duration::from_secs(1 << 20);

/// Room for all that a history has sent.
const ROOM: usize = 1 << 30;

/// Mistakes in a row that end a connection.
const MOST_MISTAKES: u32 = 4;

/// Follows each turn, so that its answer tells that the turn has taken effect.
const SYNC: &str = "{\"action\":\"ping\",\"receipt\":\"sync\"}\n";
const SYNCED: &str = "{\"action\":\"pong\",\"receipt\":\"sync\"}\n";

#[derive(Debug, Clone)]
enum Doing {
    Step(Step),
    /// One of [`MISTAKES`].
    Mistake {
        from: u32,
        which: usize,
    },
    /// The client reads no more until it speaks again.
    StopReading {
        from: u32,
    },
}

#[derive(Debug)]
struct Line {
    doing: Doing,
    spelling: u8,
}

/// Takes the history that the bytes stand for, and compares; once in turns as they are, and once with a turn for each step, so that
/// whatever can be broken off is.
pub(crate) fn run(bytes: &[u8]) {
    run_in(bytes, |actor| actor);
    run_in(bytes, |actor| actor.with_turns_of(1));
}

fn run_in(bytes: &[u8], turns: impl FnOnce(Actor) -> Actor) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let history = history(bytes);
    let context = runtime.block_on(async {
        let (actor, context) = assemble(&settings());
        tokio::select! {
            ended = tokio::spawn(turns(actor).run()) => panic!("the actor has ended: {ended:?}"),
            // The clock stands still as long as anybody has something to do, and jumps when nobody has.
            () = sleep(NEVER) => panic!("an answer never comes"),
            () = take(&history, Arc::clone(&context)) => {}
        }
        context
    });
    // With the tasks go the frames that they hold.
    drop(runtime);
    assert_eq!(context.outbox.gauge.bytes(), 0, "the broker keeps frames that nobody needs");
    assert_eq!(context.stats.snapshot().panics, 0);
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.limits.streams = MOST_STREAMS;
    settings.limits.listens = MOST_LISTENS;
    settings.limits.headers_total = ByteSize(MOST_STORED);
    settings.limits.header = ByteSize(LONGEST_HEADER);
    settings.limits.ended_time = Span(ENDED_TIME);
    settings.limits.sessions = MOST_SESSIONS;
    settings.limits.session_time = Span(SESSION_TIME);
    settings.replay.stream = ByteSize(0);
    settings.outbox.write_time = Span(NEVER);
    settings.limits.errors_in_a_row = MOST_MISTAKES as usize;
    settings
}

fn history(bytes: &[u8]) -> Vec<Line> {
    let mut from = 0;
    let steps = bytes.as_chunks::<3>().0.iter().take(LONGEST);
    steps
        .map(|[first, second, third]| {
            from = if first >> 4 < 8 { from } else { u32::from(first >> 4) % CONNECTIONS };
            Line { doing: doing(from, first & 15, *second, *third), spelling: second >> 5 }
        })
        .collect()
}

fn doing(from: u32, what: u8, how: u8, text: u8) -> Doing {
    let (stream, receipt, more) = (usize::from(how & 7) % STREAMS, how & 8 != 0, how & 16 != 0);
    let begin = (text & 128 != 0).then_some(Begin { back: None, last: None, latest: true });
    let text = u16::from(text);
    Doing::Step(match what {
        0..=4 => Step::Put { from, stream, text, header: more.then_some(text + 1), of: None, receipt },
        5 | 6 => Step::Header { from, stream, text, of: None, absent: false, receipt },
        7 if more => Step::ListenPrefix { from, prefix: usize::from(text) % OF_CLIENTS, begin, receipt },
        10 if more && text % 4 > 0 => Step::HangupPrefix { from, prefix: usize::from(text / 4) % OF_CLIENTS, receipt },
        7..=9 => Step::Listen { from, stream, begin, receipt },
        10 => Step::Hangup { from, stream: (!more).then_some(stream), receipt },
        11 => Step::Close { from, stream, text, of: None, receipt },
        12 if more => Step::Will { from, stream, text: (text & 3 != 0).then_some(text), receipt },
        12 => Step::Delete { from, stream, text, of: None, receipt },
        13 => return Doing::Mistake { from, which: usize::from(text) % MISTAKES.len() },
        14 if more => Step::Tick { seconds: [1, 5, 10, 10][usize::from(text) % 4] },
        14 if text >= 192 => return Doing::StopReading { from },
        14 => Step::Ping { from, text },
        _ if receipt => Step::Reconnect { from, session: (stream < SESSIONS).then_some(stream) },
        _ => Step::Leave { from, last: more },
    })
}

/// Consecutive lines of one connection are sent at once, as a publisher's are.
async fn take(history: &[Line], context: Arc<ConnectionContext>) {
    let mut broker = Broker { context, peers: array::from_fn(|_| None), free_ids: Vec::new(), unread: BTreeMap::new() };
    let mut model = Model::new(tight());
    let mut mistakes = [0; CONNECTIONS as usize];
    // With which session each is to begin.
    let mut sessions = [None; CONNECTIONS as usize];
    let mut turn = Turn::default();
    for (number, Line { doing, spelling }) in history.iter().enumerate() {
        let from = match doing {
            Doing::Step(step) => step.from(),
            Doing::Mistake { from, .. } | Doing::StopReading { from } => Some(*from),
        };
        if turn.from != from || turn.over {
            broker.turn(&mut turn, &mut model, number).await;
        }
        if let Doing::StopReading { from } = doing {
            broker.turn(&mut turn, &mut model, number).await;
            broker.stop_reading(*from);
            continue;
        }
        let Some(from) = from else {
            if let Doing::Step(Step::Tick { seconds }) = doing {
                // In steps that no actor finds late. A timer may fire a millisecond behind its time.
                for _ in 0..2 * seconds {
                    advance(HALF_A_SECOND).await;
                    sleep(2 * MOMENT).await;
                    model.pass(HALF_A_SECOND);
                    model.now += 2 * MOMENT;
                }
            }
            continue;
        };
        if turn.from.is_none() {
            turn.from = Some(from);
            // Ids are given again, the last one first.
            let ids = &mut model.ids;
            let next = ids.len() as u32;
            ids.entry(from).or_insert_with(|| broker.free_ids.pop().unwrap_or(next));
            // The line that follows each turn is no mistake.
            mistakes[from as usize] = 0;
        }
        if model.is_deaf(from) {
            model.step(&Step::Reconnect { from, session: None }, &Terms::default());
        }
        if let Some(session) = sessions[from as usize].take() {
            turn.bytes.extend_from_slice(Model::greeting(session).as_bytes());
            model.session(from, session);
        }
        match doing {
            Doing::Mistake { which, .. } => {
                let (line, error) = MISTAKES[*which];
                turn.bytes.extend_from_slice(format!("{line}\n").as_bytes());
                model.delivered.deliver(from, format!("{error}\n"));
                model.count(from, 1);
                mistakes[from as usize] += 1;
                if mistakes[from as usize] == MOST_MISTAKES {
                    model.lose(from);
                    model.hang_up(from, None, true);
                    let last = "{\"action\":\"close\",\"message\":{\"code\":\"too_many_errors\"}}\n";
                    model.delivered.finish(from, Some(last.to_owned()));
                    turn.over = true;
                }
            }
            Doing::StopReading { .. } => {}
            Doing::Step(step) => {
                mistakes[from as usize] = 0;
                turn.step(step, *spelling);
                // The step is a line, or follows one.
                if !matches!(step, Step::Leave { .. }) {
                    model.count(from, 1);
                }
                if let Step::Reconnect { session, .. } = step {
                    sessions[from as usize] = *session;
                    model.step(&Step::Reconnect { from, session: None }, &Terms::default());
                } else {
                    let terms = model.terms(step);
                    model.step(step, &terms);
                }
            }
        }
    }
    broker.turn(&mut turn, &mut model, history.len()).await;
    broker.read_the_rest().await;
}

/// What one connection sends at once.
#[derive(Default)]
struct Turn {
    from: Option<u32>,
    bytes: Vec<u8>,
    /// The bytes come in two reads, parted here.
    parted_at: usize,
    /// No more lines count.
    over: bool,
    /// The connection ends by an end of file.
    end_of_file: bool,
    /// It ends with no orderly end.
    reset: bool,
}

impl Turn {
    fn step(&mut self, step: &Step, spelling: u8) {
        let before = self.bytes.len();
        match step {
            Step::Leave { last: false, .. } => {
                // A last line that is not whole says nothing.
                if spelling > 3 {
                    self.bytes.extend_from_slice(b"{\"action\":\"delete\",\"stream\":\"s0\"");
                }
                self.end_of_file = true;
                self.over = true;
            }
            Step::Leave { last: true, .. } => {
                self.bytes.extend_from_slice(BYE.as_bytes());
                self.over = true;
            }
            Step::Reconnect { .. } | Step::Deafen { .. } => {
                self.reset = true;
                self.over = true;
            }
            Step::Put { .. }
            | Step::Header { .. }
            | Step::Listen { .. }
            | Step::ListenPrefix { .. }
            | Step::Hangup { .. }
            | Step::HangupPrefix { .. }
            | Step::Close { .. }
            | Step::Delete { .. }
            | Step::Ping { .. }
            | Step::Will { .. }
            | Step::Tick { .. } => self.bytes.extend_from_slice(line(step, spelling).as_bytes()),
        }
        if spelling == 7 {
            self.parted_at = (before + self.bytes.len()) / 2;
        }
    }
}

struct Broker {
    context: Arc<ConnectionContext>,
    peers: [Option<Peer>; CONNECTIONS as usize],
    /// The ids of connections that have ended.
    free_ids: Vec<u32>,
    /// What those who do not read have yet to get.
    unread: BTreeMap<u32, String>,
}

impl Broker {
    /// Sends what one connection says, waits until it has taken effect, and compares what everybody got.
    async fn turn(&mut self, turn: &mut Turn, model: &mut Model, number: usize) {
        let Turn { from, bytes, parted_at, over, end_of_file, reset } = std::mem::take(turn);
        let Some(from) = from else { return };
        let peer = self.peers[from as usize].get_or_insert_with(|| {
            let (pipe, peer) = pipe();
            tokio::spawn(serve(pipe, JsonLines::default(), Arc::clone(&self.context)));
            peer
        });
        if self.unread.contains_key(&from) {
            peer.room(ROOM);
        }
        let (one, other) = bytes.split_at(parted_at);
        for part in [one, other].into_iter().filter(|part| !part.is_empty()) {
            peer.send(part);
        }
        let mut got = BTreeMap::new();
        if !over || reset {
            peer.send(SYNC);
            let lines = peer.until(|bytes| bytes.ends_with(SYNCED.as_bytes())).await;
            got.insert(from, lines.strip_suffix(SYNCED).unwrap_or(&lines).to_owned());
        } else {
            if end_of_file {
                peer.end_of_file();
            }
            got.insert(from, peer.rest().await + END);
        }
        if over {
            // The broker waits for the end of what the peer sends, and forgets it then.
            peer.reset();
            if reset {
                peer.rest().await;
            }
            self.peers[from as usize] = None;
            self.free_ids.extend(model.ids.remove(&from));
        }
        // The clock jumps once nobody has anything to do: then what was queued for the others has been sent.
        sleep(MOMENT).await;
        model.now += MOMENT;
        for (other, slot) in (0..).zip(&mut self.peers) {
            let Some(peer) = slot.as_ref().filter(|_| other != from) else { continue };
            if model.is_fenced(other) {
                peer.room(ROOM);
                got.insert(other, peer.rest().await + END);
                peer.reset();
                *slot = None;
            } else if !self.unread.contains_key(&other) {
                got.insert(other, peer.until(|_| true).await);
            }
        }
        if !over {
            // The line that followed the turn.
            model.count(from, 1);
        }
        let mut expected = model.delivered.take();
        for to in 0..CONNECTIONS {
            let expected = expected.remove(&to).unwrap_or_default();
            let Some(got) = got.get(&to) else {
                match self.unread.get_mut(&to) {
                    Some(unread) => unread.push_str(&expected),
                    None => assert_eq!(expected, "", "before step {number}, for {to}, which is not there"),
                }
                continue;
            };
            let expected = self.unread.remove(&to).unwrap_or_default() + &expected;
            assert_agree(
                to,
                got,
                &expected,
                &format!("before step {number}, connection {from} sent:\n{}", String::from_utf8_lossy(&bytes)),
            );
        }
        let stats = self.context.stats.snapshot();
        let kept = (stats.streams, stats.stored_bytes);
        assert_eq!(kept, (model.streams() as u64, model.stored() as u64), "streams and bytes before step {number}");
    }

    /// From now on the client reads nothing, until it speaks again.
    fn stop_reading(&mut self, from: u32) {
        if let Some(peer) = &self.peers[from as usize] {
            peer.room(0);
            self.unread.entry(from).or_default();
        }
    }

    /// After the last turn all read.
    async fn read_the_rest(&mut self) {
        for (to, expected) in std::mem::take(&mut self.unread) {
            let Some(peer) = &self.peers[to as usize] else { continue };
            peer.room(ROOM);
            sleep(Duration::from_millis(1)).await;
            assert_agree(to, &peer.until(|_| true).await, &expected, "at the end");
        }
    }
}

/// What is for people, and what no model knows, is not compared.
fn assert_agree(to: u32, got: &str, expected: &str, when: &str) {
    let plain = |lines: &str| {
        let lines: String = lines.split_inclusive('\n').map(|line| without_life(&without_reason(line))).collect();
        without_positions(&lines)
    };
    let (got, expected) = (plain(got), plain(expected));
    if let Err(wrong) = newest::agree(&got, &expected) {
        panic!("{when}\nconnection {to} got:\n{got}and not:\n{expected}since {wrong}");
    }
}
