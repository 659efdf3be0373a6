//! Connections on which messages travel within something else: a WebSocket, or server-sent events. They are read and written like any
//! other: what is read is what the protocol says, one line or packet after the other.

mod by;
mod events;
mod websocket;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

pub(crate) use by::By;
use events::EventLines;
use websocket::Messages;

/// What is read from the socket at once, in bytes.
const READ: usize = 64 << 10;
/// The longest head of an answer, in bytes.
const HEAD: usize = 16 << 10;

/// A connection with something between the socket and the protocol.
pub(crate) struct Carried {
    socket: TcpStream,
    within: Within,
    raw: Vec<u8>,
    /// What was unwrapped and not yet read, from `at` on.
    ready: Vec<u8>,
    at: usize,
    /// What was wrapped and not yet sent.
    unsent: Vec<u8>,
    /// A read that could block gives what there is.
    blocks: bool,
}

enum Within {
    Messages(Messages),
    Events(EventLines),
}

/// What is asked for.
pub(crate) struct Asked<'a> {
    /// The path.
    pub(crate) path: &'a str,
    /// What is spoken within a WebSocket, by its registered name; nothing if it is lines.
    pub(crate) subprotocol: Option<&'a str>,
    /// What each event is preceded by.
    pub(crate) label: String,
}

impl Carried {
    /// Asks for it on a connected socket that blocks, and waits for the answer.
    ///
    /// # Errors
    /// If it is refused, or does not come in time.
    pub(crate) fn open(mut socket: TcpStream, by: By, asked: &Asked<'_>, timeout: Duration) -> Result<Self> {
        let wanted = match by {
            By::Websocket => {
                let subprotocol = asked.subprotocol.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n")).unwrap_or_default();
                format!(
                    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: YmVuY2hiZW5jaGJlbmNoIQ==\r\n{subprotocol}"
                )
            }
            By::Events => "Accept: text/event-stream\r\n".to_owned(),
            By::Socket => bail!("nothing is carried by a bare socket"),
        };
        let host = socket.peer_addr()?;
        socket.write_all(format!("GET {} HTTP/1.1\r\nHost: {host}\r\n{wanted}\r\n", asked.path).as_bytes())?;
        let (head, rest) = read_head(&mut socket, timeout)?;
        let status = if by == By::Websocket { "101" } else { "200" };
        ensure!(head.split(' ').nth(1) == Some(status), "the broker answered {:?}", head.lines().next().unwrap_or_default());
        let within = match by {
            By::Events => {
                Within::Events(EventLines::new(head.to_ascii_lowercase().contains("transfer-encoding: chunked"), asked.label.clone()))
            }
            By::Socket | By::Websocket => Within::Messages(Messages::new(asked.subprotocol.is_none(), asked.label.clone())),
        };
        let mut carried = Self { socket, within, raw: Vec::new(), ready: Vec::new(), at: 0, unsent: Vec::new(), blocks: true };
        carried.unwrap(&rest)?;
        Ok(carried)
    }

    /// The socket below.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// From now on reads and writes do not wait.
    pub(crate) fn set_nonblocking(&mut self) -> io::Result<()> {
        self.blocks = false;
        self.socket.set_nonblocking(true)
    }

    /// Sends what was wrapped and not sent, as far as the socket takes it.
    pub(crate) fn flush_some(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes what has come from the socket.
    fn unwrap(&mut self, came: &[u8]) -> io::Result<()> {
        if self.at == self.ready.len() {
            self.ready.clear();
            self.at = 0;
        }
        match &mut self.within {
            Within::Messages(messages) => messages.unwrap(came, &mut self.ready, &mut self.unsent),
            Within::Events(events) => events.unwrap(came, &mut self.ready),
        }
        .map_err(|what| io::Error::new(io::ErrorKind::InvalidData, what))
    }
}

impl Read for Carried {
    /// Less than was asked for means that there is no more now.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        loop {
            let count = (self.ready.len() - self.at).min(buffer.len() - read);
            buffer[read..read + count].copy_from_slice(&self.ready[self.at..self.at + count]);
            (self.at, read) = (self.at + count, read + count);
            if read == buffer.len() || (self.blocks && read > 0) {
                return Ok(read);
            }
            let mut raw = std::mem::take(&mut self.raw);
            raw.resize(READ, 0);
            let unwrapped = match self.socket.read(&mut raw) {
                Ok(count) if count > 0 => self.unwrap(&raw[..count]),
                Ok(_) => return Ok(read),
                Err(error) => {
                    self.raw = raw;
                    return if read > 0 { Ok(read) } else { Err(error) };
                }
            };
            self.raw = raw;
            unwrapped?;
            self.flush_some()?;
        }
    }
}

impl Write for Carried {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.within {
            Within::Messages(messages) => messages.wrap(bytes, &mut self.unsent),
            Within::Events(_) => return Err(io::Error::new(io::ErrorKind::Unsupported, "events go one way only")),
        }
        self.flush_some()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_some()
    }
}

/// Reads the head of an answer: that, and what has come behind it.
fn read_head(socket: &mut TcpStream, timeout: Duration) -> Result<(String, Vec<u8>)> {
    let (mut all, mut part) = (Vec::new(), [0; 4096]);
    let deadline = Instant::now() + timeout;
    while all.len() < HEAD && Instant::now() < deadline {
        let count = socket.read(&mut part)?;
        ensure!(count > 0, "the broker closed the connection: {}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&part[..count]);
        if let Some(at) = all.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = all.split_off(at + 4);
            return Ok((String::from_utf8_lossy(&all).into_owned(), rest));
        }
    }
    bail!("no answer from the broker within {timeout:?}")
}
