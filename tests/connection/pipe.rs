//! An in-memory transport: what a socket does, without one. Its far end is held by the test.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use msgstream::internal::broker::connection::Transport;
use msgstream::internal::broker::outbox::Sink;

#[derive(Default)]
struct State {
    /// Pieces that one read each gets, so that a test decides how the bytes fall apart.
    incoming: std::collections::VecDeque<Vec<u8>>,
    end_of_file: bool,
    reset: bool,
    outgoing: Vec<u8>,
    /// How much may stand in `outgoing`, as a socket's buffer.
    room: usize,
    /// The broker has said that it writes no more, or has let go.
    closed: bool,
    panic_on_read: bool,
    panic_on_write: bool,
    /// What every read is filled with, for so many reads.
    flood: Vec<u8>,
    flood_reads: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
    peer: Option<Waker>,
}

/// The broker's end.
pub(crate) struct Pipe {
    state: Arc<Mutex<State>>,
    certificate: Option<Arc<str>>,
}

impl Pipe {
    /// As if the client had proven to have a certificate with this name.
    pub(crate) fn with_certificate(mut self, name: &str) -> Self {
        self.certificate = Some(name.into());
        self
    }
}

/// The client's end.
pub(crate) struct Peer(Arc<Mutex<State>>);

/// A pipe whose writes never block.
pub(crate) fn pipe() -> (Pipe, Peer) {
    let state = Arc::new(Mutex::new(State { room: usize::MAX, ..State::default() }));
    (Pipe { state: Arc::clone(&state), certificate: None }, Peer(state))
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl Sink for Pipe {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let panics = self.state.lock().unwrap().panic_on_write;
        assert!(!panics, "planted: a panic in writing");
        let mut state = self.state.lock().unwrap();
        if state.reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut written = 0;
        for slice in slices {
            let part = slice.len().min(state.room - state.outgoing.len());
            state.outgoing.extend_from_slice(&slice[..part]);
            written += part;
        }
        wake(&mut state.peer);
        if written == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) }
    }

    fn peer(&self) -> String {
        "pipe".to_owned()
    }
}

impl Transport for Pipe {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state.lock().unwrap();
        if !state.incoming.is_empty() || state.flood_reads > 0 || state.end_of_file || state.reset || state.panic_on_read {
            return Poll::Ready(Ok(()));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state.lock().unwrap();
        if state.outgoing.len() < state.room || state.reset {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let panics = self.state.lock().unwrap().panic_on_read;
        assert!(!panics, "planted: a panic in reading");
        let mut state = self.state.lock().unwrap();
        if state.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if state.flood_reads > 0 {
            state.flood_reads -= 1;
            let room = buffer.capacity() - buffer.len();
            buffer.extend(state.flood.iter().cycle().take(room));
            return Ok(room);
        }
        let Some(mut piece) = state.incoming.pop_front() else {
            return if state.end_of_file { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        };
        let part = piece.len().min(buffer.capacity() - buffer.len());
        let rest = piece.split_off(part);
        if !rest.is_empty() {
            state.incoming.push_front(rest);
        }
        buffer.extend_from_slice(&piece);
        Ok(part)
    }

    fn certificate(&self) -> Option<Arc<str>> {
        self.certificate.clone()
    }

    fn close(&self) {
        let mut state = self.state.lock().unwrap();
        state.closed = true;
        wake(&mut state.peer);
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.close();
    }
}

/// Lines, of which the receipts say neither where a stream stands nor since when.
pub(crate) fn without_positions(lines: &str) -> String {
    let plain = |line: &str| {
        let times = line.find(",\"age\":").or_else(|| line.find(",\"position\":"));
        match times.filter(|_| line.starts_with("{\"action\":\"receipt\"") || line.starts_with("{\"action\":\"joined\"")) {
            Some(at) => format!("{}}}\n", &line[..at]),
            None => line.to_owned(),
        }
    };
    lines.split_inclusive('\n').map(plain).collect()
}

impl Peer {
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock().unwrap();
        change(&mut state);
        wake(&mut state.reader);
        wake(&mut state.writer);
    }

    /// Sends bytes that one read gets.
    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        self.change(|state| state.incoming.push_back(bytes.as_ref().to_vec()));
    }

    /// Sends a line.
    pub(crate) fn line(&self, line: &str) {
        self.send(format!("{line}\n"));
    }

    /// From now on a line stands in the socket again and again, and fills every read, for so many reads.
    pub(crate) fn flood(&self, line: &str, reads: usize) {
        self.change(|state| (state.flood, state.flood_reads) = (format!("{line}\n").into_bytes(), reads));
    }

    /// How many reads of the flood are left.
    pub(crate) fn flood_left(&self) -> usize {
        self.0.lock().unwrap().flood_reads
    }

    /// No more comes.
    pub(crate) fn end_of_file(&self) {
        self.change(|state| state.end_of_file = true);
    }

    /// The client is gone.
    pub(crate) fn reset(&self) {
        self.change(|state| state.reset = true);
    }

    /// How much the broker may write before the client reads.
    pub(crate) fn room(&self, room: usize) {
        self.change(|state| state.room = state.outgoing.len() + room);
    }

    pub(crate) fn panic_on_read(&self) {
        self.change(|state| state.panic_on_read = true);
    }

    pub(crate) fn panic_on_write(&self) {
        self.change(|state| state.panic_on_write = true);
    }

    /// Whether the broker has ended the connection.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().unwrap().closed
    }

    /// Waits until what the broker has written satisfies `enough`, or it has closed. Takes it.
    async fn bytes_until(&self, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        poll_fn(|cx| {
            let mut state = self.0.lock().unwrap();
            if enough(&state.outgoing) || state.closed {
                let bytes = std::mem::take(&mut state.outgoing);
                wake(&mut state.writer);
                return Poll::Ready(bytes);
            }
            state.peer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// The same for what is text.
    pub(crate) async fn until(&self, enough: impl Fn(&[u8]) -> bool) -> String {
        String::from_utf8(self.bytes_until(enough).await).unwrap()
    }

    /// What has come, once there is something; nothing if the broker has closed.
    #[cfg(feature = "tls")]
    pub(crate) async fn some_bytes(&self) -> Vec<u8> {
        self.bytes_until(|bytes| !bytes.is_empty()).await
    }

    /// All bytes that come until the broker closes.
    pub(crate) async fn rest_of_bytes(&self) -> Vec<u8> {
        self.bytes_until(|_| false).await
    }

    /// All that comes until a pong, which is left out.
    pub(crate) async fn ping(&self) -> String {
        self.line(r#"{"action":"ping"}"#);
        let text = self.until(|bytes| bytes.ends_with(b"{\"action\":\"pong\"}\n")).await;
        text.strip_suffix("{\"action\":\"pong\"}\n").unwrap_or(&text).to_owned()
    }

    /// All that comes until the broker closes.
    pub(crate) async fn rest(&self) -> String {
        self.until(|_| false).await
    }
}
