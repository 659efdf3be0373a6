//! A client: says lines, expects lines, byte for byte.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::{Dialect, JSON_LINES, PATIENCE, Socket};

/// One connection to the broker.
///
/// It reads only when something is expected: a client that expects nothing is a listener that does not read.
#[derive(Debug)]
pub(crate) struct Client {
    socket: Socket,
    dialect: &'static dyn Dialect,
    /// Bytes received and not yet taken as lines. No room is kept while it is empty: tests have thousands of clients.
    bytes: Vec<u8>,
    /// How many of `bytes` hold no end of a line.
    searched: usize,
    /// Lines that arrived before a pong that [`Client::settle`] waited for.
    lines: VecDeque<String>,
    pings: u32,
    /// Whether receipts say where streams stand, and since when; most tests are not about that.
    tells_positions: bool,
}

impl Client {
    pub(crate) fn new(socket: Socket) -> Self {
        Self::speaking(socket, &JSON_LINES)
    }

    pub(crate) fn speaking(socket: Socket, dialect: &'static dyn Dialect) -> Self {
        socket.set_patience(PATIENCE);
        Self { socket, dialect, bytes: Vec::new(), searched: 0, lines: VecDeque::new(), pings: 0, tells_positions: false }
    }

    /// Says one line.
    pub(crate) fn send(&mut self, line: &str) {
        let bytes = self.dialect.encode(line);
        self.send_bytes(&bytes);
    }

    /// Says several lines, each with its end, and perhaps the beginning of another.
    pub(crate) fn send_lines(&mut self, lines: &[u8]) {
        let bytes = self.dialect.encode_lines(lines);
        self.send_bytes(&bytes);
    }

    /// How a line reads that this client gets, if it says what this one says.
    pub(crate) fn as_heard(&self, line: &str) -> String {
        self.dialect.as_heard(line)
    }

    /// Sends bytes as they are.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).and_then(|()| self.socket.flush()).expect("the broker takes what is sent");
    }

    /// Sends bytes of which the last is urgent: a mark that a read ends at.
    ///
    /// # Errors
    /// If the system has no urgent data on such a socket.
    pub(crate) fn send_urgent(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.with_options(|options| options.send_out_of_band(bytes)).map(|sent| assert_eq!(sent, bytes.len()))
    }

    /// Sends bytes with a descriptor beside them, as one process gives another an open file.
    pub(crate) fn send_with_descriptor(&mut self, bytes: &[u8], descriptor: impl AsFd) {
        let (descriptors, mut space) = ([descriptor.as_fd()], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
        let mut beside = SendAncillaryBuffer::new(&mut space);
        assert!(beside.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let sent = sendmsg(&self.socket, &[IoSlice::new(bytes)], &mut beside, SendFlags::empty());
        assert_eq!(sent, Ok(bytes.len()));
    }

    /// Sends as much as the broker takes; whether that was all. For connections that the broker may end at any time.
    pub(crate) fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// The next line, or `None` at the end of the file.
    ///
    /// # Panics
    /// If the connection breaks off, or stays silent, or ends within a line.
    pub(crate) fn line(&mut self) -> Option<String> {
        self.line_or_break().unwrap_or_else(|kind| panic!("the connection broke off: {kind}"))
    }

    /// The next line, `None` at the end of the file, an error if the connection broke off.
    pub(crate) fn line_or_break(&mut self) -> Result<Option<String>, ErrorKind> {
        if let Some(line) = self.lines.pop_front() {
            return Ok(Some(line));
        }
        let mut block = [0; 16 << 10];
        loop {
            if let Some(line) = self.take() {
                return Ok(Some(line));
            }
            match self.socket.read(&mut block) {
                Ok(0) => {
                    assert!(self.bytes.is_empty(), "the file ended within a line: {:?}", String::from_utf8_lossy(&self.bytes));
                    return Ok(None);
                }
                Ok(read) => self.bytes.extend_from_slice(&block[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("waited {PATIENCE:?} for a line in vain"),
                Err(error) => return Err(error.kind()),
            }
        }
    }

    /// A line of what has been received.
    fn take(&mut self) -> Option<String> {
        let Some((taken, line)) = self.dialect.take(&self.bytes, self.searched) else {
            self.searched = self.bytes.len();
            return None;
        };
        self.bytes.drain(..taken);
        self.searched = 0;
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
        Some(if self.tells_positions { line } else { without_position(&line) })
    }

    /// From now on receipts are whole.
    pub(crate) fn tell_positions(&mut self) {
        self.tells_positions = true;
    }

    /// The next line, if it has arrived by now.
    pub(crate) fn line_by_now(&mut self) -> Option<String> {
        let mut block = [0; 16 << 10];
        self.socket.with_options(|options| options.set_nonblocking(true)).expect("a socket that can be set so");
        let read = self.socket.read(&mut block);
        self.socket.with_options(|options| options.set_nonblocking(false)).expect("a socket that can be set so");
        self.bytes.extend_from_slice(&block[..read.unwrap_or(0)]);
        self.take()
    }

    /// The next line, which must be there.
    pub(crate) fn next(&mut self) -> String {
        self.line().expect("a line, not the end of the file")
    }

    /// The next `count` lines.
    pub(crate) fn next_lines(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.next()).collect()
    }

    /// All lines up to the end of the file.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.line()).collect()
    }

    /// Expects exactly this line next.
    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str) {
        assert_eq!(self.next(), line);
    }

    /// Says one line and expects exactly one answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, line: &str, answer: &str) {
        self.send(line);
        self.expect(answer);
    }

    /// Expects an error with this code next, and returns its line.
    #[track_caller]
    pub(crate) fn expect_code(&mut self, code: &str) -> String {
        let line = self.next();
        let start = format!(r#"{{"action":"error","message":{{"code":"{code}","reason":""#);
        assert!(line.starts_with(&start), "expected an error {code:?}, got {line}");
        line
    }

    /// Expects the line that ends this connection for this reason, and the end of the file after it.
    #[track_caller]
    pub(crate) fn expect_ended(&mut self, code: &str) {
        let line = self.next();
        assert!(is_end(&line, code), "expected to be ended for {code:?}, got {line}");
        self.expect_eof();
    }

    #[track_caller]
    pub(crate) fn expect_eof(&mut self) {
        let line = self.line();
        assert!(line.is_none(), "expected the end of the file, got {line:?}");
    }

    /// Expects that nothing is there to be read. Whatever was queued before a pong is read before it, so there is no
    /// need to wait and see.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self) {
        let (ping, pong) = self.next_ping();
        self.send(&ping);
        let line = self.next();
        assert_eq!(line, pong, "expected silence");
    }

    /// Waits until everything that was said has taken effect, and expects no other answer to it.
    #[track_caller]
    pub(crate) fn ping(&mut self) {
        self.expect_silence();
    }

    /// Waits until everything that was said has taken effect; what arrives meanwhile is read later.
    pub(crate) fn settle(&mut self) {
        let (ping, pong) = self.next_ping();
        self.send(&ping);
        // `next` takes the lines that an earlier call has kept first, so that the order stays.
        let mut before = VecDeque::new();
        loop {
            let line = self.next();
            if line == pong {
                break;
            }
            before.push_back(line);
        }
        self.lines = before;
    }

    /// All lines that have arrived, once everything that was said has taken effect.
    pub(crate) fn arrived(&mut self) -> Vec<String> {
        self.settle();
        self.lines.drain(..).collect()
    }

    /// The next line, if it has arrived before a pong that was waited for.
    pub(crate) fn waiting(&mut self) -> Option<String> {
        self.lines.pop_front()
    }

    /// Says that nothing more will be sent; still reads.
    pub(crate) fn finish(&self) {
        self.socket.finish();
    }

    /// Breaks the connection off with a reset.
    pub(crate) fn reset(self) {
        self.socket.reset();
    }

    /// How long reads and writes may block before the test fails.
    pub(crate) fn set_patience(&self, patience: Duration) {
        self.socket.set_patience(patience);
    }

    /// The same connection, for another thread to write to while this one reads.
    pub(crate) fn second_hand(&self) -> Self {
        Self::speaking(self.socket.try_clone(), self.dialect)
    }

    fn next_ping(&mut self) -> (String, String) {
        self.pings += 1;
        let number = self.pings;
        (format!(r#"{{"action":"ping","receipt":"harness {number}"}}"#), format!(r#"{{"action":"pong","receipt":"harness {number}"}}"#))
    }
}

/// Whether this line ends the connection for this reason.
pub(crate) fn is_end(line: &str, code: &str) -> bool {
    line.starts_with(&format!(r#"{{"action":"close","message":{{"code":"{code}","reason":""#))
}

/// A receipt that says neither where a stream stands nor since when; any other line as it is.
fn without_position(line: &str) -> String {
    let times = line.find(",\"age\":").or_else(|| line.find(",\"position\":"));
    match times.filter(|_| line.starts_with("{\"action\":\"receipt\"")) {
        Some(at) => format!("{}}}", &line[..at]),
        None => line.to_owned(),
    }
}
