//! Passes the lines of standard input on: one half reads, the other sends, and neither ends because of the other.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use crate::client::{Backoff, ClientError, Connection, Options, RemoteStream, StreamState};
use crate::job::content::Content;
use crate::job::monitor::{Log, Lost, Message};
use crate::wire::units::ByteSize;
use anyhow::Context;
use serde_json::json;
use tokio::io::BufReader;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::backlog::{Backlog, Gap, Next};
use super::input_line::{InputLine, InputLines};
use crate::cli::broker::Broker;
use crate::cli::exit::{Exit, Failure, OrExit, Outcome};
use crate::cli::input;
use crate::cli::standard::say;

/// What waits here for room in the client's queue. The documentation tells the sum of both.
const BACKLOG: usize = 16 << 20;
const QUEUE: ByteSize = ByteSize(4 << 20);

/// How long the program that writes our input waits for a broker that is there and takes nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long to wait for a broker that is away once the input has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The longest pause between two attempts to connect, so that a short stop of the broker stays one.
const PAUSE: Duration = Duration::from_secs(2);

/// Sends every line of standard input.
pub(super) async fn put(broker: &Broker, stream: &str, text: bool, strict: bool) -> Outcome {
    if stream.is_empty() {
        return Err(ClientError::EmptyName.into());
    }
    let reconnect = (!strict).then(|| Backoff { longest: PAUSE, ..Backoff::default() });
    let options = Options { reconnect, queue: QUEUE, ..Options::default() };
    let longest = options.longest_action;
    let remote = if strict { broker.connect(options).await? } else { broker.start(options) };
    input::ask("one message a line, ended by Ctrl-D");
    Lines::new(remote, stream, text, strict).pass(longest).await
}

/// What both halves share.
struct Lines<'a> {
    remote: RemoteStream,
    connection: watch::Receiver<Connection>,
    stream: &'a str,
    text: bool,
    strict: bool,
    backlog: RefCell<Backlog>,
    /// The backlog has room again.
    room: Notify,
    /// There is something in the backlog, or there never will be.
    work: Notify,
    /// The broker is there and takes nothing: the input does not wait for it any more.
    gone: Cell<bool>,
    /// The input has ended.
    has_ended: watch::Sender<bool>,
    /// How many lines were read.
    read: Cell<u64>,
    /// How many of them were no messages.
    bad: Cell<u64>,
}

impl<'a> Lines<'a> {
    fn new(remote: RemoteStream, stream: &'a str, text: bool, strict: bool) -> Self {
        Self {
            connection: remote.connection(),
            remote,
            stream,
            text,
            strict,
            backlog: RefCell::new(Backlog::new(BACKLOG)),
            room: Notify::new(),
            work: Notify::new(),
            gone: Cell::new(false),
            has_ended: watch::Sender::new(false),
            read: Cell::new(0),
            bad: Cell::new(0),
        }
    }

    async fn pass(&self, longest: ByteSize) -> Outcome {
        let both = async {
            if self.strict {
                return tokio::select! {
                    both = async { tokio::try_join!(self.read(longest), self.send()) } => both.map(|_| ()),
                    lost = self.lost() => Err(lost.into()),
                };
            }
            let (read, sent) = tokio::join!(self.read(longest), self.send_or_say());
            read.and(sent)
        };
        tokio::select! {
            passed = both => passed?,
            never = self.announce() => match never {},
        }
        self.outcome()
    }

    /// Says how the stream ends if this program is killed, unless it belongs to a job: whose header it has is to say that.
    async fn leave_will(&self) {
        if let Ok(listener) = self.remote.listen(self.stream).await
            && listener.joined().await.is_some_and(|joined| joined.state != StreamState::Running)
        {
            // Refused for a name that no line is taken for either, which is told.
            let _ = self.remote.will(self.stream, &Message::from(Lost::new())).await;
        }
    }

    /// Reads to the end of the input.
    async fn read(&self, longest: ByteSize) -> Result<(), Failure> {
        let read = self.read_lines(longest).await;
        self.has_ended.send_replace(true);
        self.work.notify_one();
        read
    }

    async fn read_lines(&self, longest: ByteSize) -> Result<(), Failure> {
        let mut input = InputLines::new(BufReader::with_capacity(256 << 10, tokio::io::stdin()), longest.0);
        loop {
            let line = input.next().await.context("cannot read standard input").or_exit(Exit::Io)?;
            if line == InputLine::End {
                return Ok(());
            }
            self.read.set(self.read.get() + 1);
            let message = match line {
                InputLine::Whole(line) => content(&line, self.text),
                InputLine::TooLong | InputLine::End => Err(format!("is longer than {longest}, the most that a broker accepts")),
            };
            match message {
                Ok(Some(message)) => self.keep(message).await,
                Ok(None) => {}
                Err(why) => self.leave_out(self.read.get(), &why),
            }
        }
    }

    /// Reports a line that is no message.
    fn leave_out(&self, number: u64, why: &str) {
        self.bad.set(self.bad.get() + 1);
        say(format_args!("line {number} {why}"));
    }

    /// Puts a message into the backlog. Waits a moment for room if the broker is there, or may be, but not for ever.
    async fn keep(&self, message: Content) {
        while !self.backlog.borrow().has_room(&message) {
            let is_away = matches!(*self.connection.borrow(), Connection::Away { .. } | Connection::Over { .. });
            if !self.strict && (self.gone.get() || is_away) {
                break;
            }
            let patience = async { if self.strict { pending().await } else { sleep(PATIENCE).await } };
            tokio::select! {
                () = self.room.notified() => {}
                () = patience => self.gone.set(true),
            }
        }
        self.backlog.borrow_mut().push(self.read.get(), message);
        self.work.notify_one();
    }

    /// As [`send`](Self::send), but nobody ends because of its failure.
    async fn send_or_say(&self) -> Result<(), Failure> {
        let sent = tokio::select! {
            sent = self.send() => sent,
            () = self.too_late() => Ok(()),
        };
        if let Err(failure) = &sent
            && !*self.has_ended.borrow()
        {
            say(format_args!("{:#}; still reading, but sending nothing more", failure.error));
        }
        sent
    }

    /// Sends what waits until the input has ended and the broker has taken all of it.
    async fn send(&self) -> Result<(), Failure> {
        // An input without a line is nobody's job.
        while self.backlog.borrow().is_empty() && !*self.has_ended.borrow() {
            self.work.notified().await;
        }
        if !self.backlog.borrow().is_empty() {
            self.leave_will().await;
        }
        loop {
            let next = self.backlog.borrow_mut().next();
            match next {
                Some(Next::Message(number, message)) => match self.remote.put(self.stream, &message).await {
                    Err(error @ ClientError::TooLong { .. }) => self.leave_out(number, &format!("is too long: {error}")),
                    sent => sent?,
                },
                Some(Next::Gap(gap)) => self.tell(gap).await?,
                None if *self.has_ended.borrow() => break,
                None => {
                    self.work.notified().await;
                    continue;
                }
            }
            self.gone.set(false);
            self.room.notify_one();
        }
        // With nothing to wait for, a broker that is away is not waited for.
        let is_there = *self.connection.borrow() == Connection::Connected;
        if is_there || self.remote.waiting() > 0 {
            self.remote.clone().disconnect().await?;
        }
        Ok(())
    }

    /// Says that lines were dropped: here, and in their place in the stream.
    async fn tell(&self, gap: Gap) -> Result<(), Failure> {
        let Gap { lines, first, last } = gap;
        let text = match lines {
            1 => format!("line {first} was lost: the broker did not take it in time"),
            _ => format!("{lines} lines were lost, from {first} to {last}: the broker did not take them in time"),
        };
        say(&text);
        let mut log = Log::new(text).level("warning");
        log.more.insert("lost".to_owned(), json!({ "lines": lines, "first": first, "last": last }));
        Ok(self.remote.put(self.stream, &Message::from(log)).await?)
    }

    /// Returns when the input has ended and the broker has been away for too long since.
    async fn too_late(&self) {
        let (mut connection, mut ended) = (self.remote.connection(), self.has_ended.subscribe());
        // Both outlive this.
        let _ = ended.wait_for(|ended| *ended).await;
        loop {
            let back = timeout(LAST_WORDS, connection.wait_for(|now| *now == Connection::Connected)).await.is_ok();
            if !back {
                return;
            }
            let _ = connection.wait_for(|now| *now != Connection::Connected).await;
        }
    }

    /// Returns when the connection is lost for good, before the next line shows it.
    async fn lost(&self) -> ClientError {
        let mut connection = self.remote.connection();
        loop {
            if let Connection::Over { reason } = &*connection.borrow_and_update()
                && !*self.has_ended.borrow()
            {
                return ClientError::Lost(reason.clone());
            }
            if connection.changed().await.is_err() {
                return pending().await;
            }
        }
    }

    /// Tells the user when the broker goes and comes back.
    async fn announce(&self) -> Infallible {
        let mut connection = self.remote.connection();
        let mut is_away = false;
        loop {
            let now = connection.borrow_and_update().clone();
            match now {
                Connection::Away { reason } if !is_away => {
                    is_away = true;
                    say(format_args!("{reason}; still reading, and trying again"));
                }
                Connection::Connected if is_away => {
                    is_away = false;
                    say("connected to the broker");
                }
                Connection::Connected | Connection::Connecting | Connection::Away { .. } | Connection::Over { .. } => {}
            }
            if connection.changed().await.is_err() {
                return pending().await;
            }
        }
    }

    /// What is told at the end.
    fn outcome(&self) -> Outcome {
        let mut backlog = self.backlog.borrow_mut();
        backlog.clear();
        let (lost, unsure, read, bad) = (backlog.dropped(), self.remote.waiting(), self.read.get(), self.bad.get());
        let cure = if self.text { "" } else { "; use --text to send lines as strings" };
        let not_sent = format!("{bad} of {read} lines were not sent{cure}");
        if lost == 0 && unsure == 0 {
            return if bad == 0 { Ok(Exit::Fine) } else { Err(Failure::new(Exit::Data, not_sent)) };
        }
        if bad > 0 {
            say(not_sent);
        }
        let why = match &*self.connection.borrow() {
            Connection::Away { reason } => reason.clone(),
            Connection::Connecting => "the broker has not answered".to_owned(),
            // Or over, because all the rest was sent.
            _ => "the broker did not take them in time".to_owned(),
        };
        let unsure = if unsure > 0 { format!(", and {unsure} may be lost (not confirmed)") } else { String::new() };
        Err(Failure::new(Exit::Unavailable, format!("{lost} of {read} lines were lost{unsure}: {why}")))
    }
}

/// The message in a line; none in a blank one. The error is what the line is.
fn content(line: &[u8], text: bool) -> Result<Option<Content>, String> {
    let line = if text { String::from_utf8_lossy(line) } else { Cow::from(std::str::from_utf8(line).map_err(|_| NOT_UTF8.to_owned())?) };
    if !text && line.trim().is_empty() {
        return Ok(None);
    }
    input::content(&line, text).map(Some).map_err(|error| format!("is not JSON: {}", input::why(&error)))
}

const NOT_UTF8: &str = "is not JSON: it is not UTF-8";

#[cfg(test)]
mod tests;
