//! A client's end of a WebSocket, as a stream of bytes: what stands before each LF is a text message, and what has no LF yet is the
//! beginning of one, sent as a frame that others follow.
//!
//! It is made of RFC 6455 and of nothing of the broker's.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

const FINAL: u8 = 0x80;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// What hides what is sent from whatever is between.
const MASK: [u8; 4] = [0x5a, 0x00, 0xff, 0x17];

/// See the module.
#[derive(Debug)]
pub(crate) struct WebSocket {
    pub(crate) socket: TcpStream,
    /// A message has been begun.
    within: bool,
    /// Bytes that have come and are no whole frame yet.
    came: Vec<u8>,
    /// Lines that are yet to be read.
    lines: Vec<u8>,
    is_closed: bool,
}

impl WebSocket {
    /// Asks the broker at this address for one.
    pub(crate) fn open(mut socket: TcpStream, addr: SocketAddr) -> Self {
        Self::shake_hands(&mut socket, addr);
        Self { socket, within: false, came: Vec::new(), lines: Vec::new(), is_closed: false }
    }

    /// Asks the broker at this address to make this connection a WebSocket.
    pub(crate) fn shake_hands(socket: &mut (impl Read + Write), addr: SocketAddr) {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let asked = format!(
            "GET /ws HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        );
        socket.write_all(asked.as_bytes()).and_then(|()| socket.flush()).unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            socket.read_exact(&mut byte).expect("a WebSocket");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 101 ") && head.contains("\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&self) {
        // The broker may have ended the connection.
        let _ = (&self.socket).write_all(&frame(FINAL | CLOSE, &1000_u16.to_be_bytes()));
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Takes whole frames of what has come.
    fn take_frames(&mut self) -> io::Result<()> {
        while let Some((first, start, length)) = header(&self.came).filter(|(_, start, length)| self.came.len() >= start + length) {
            let payload: Vec<u8> = self.came.drain(..start + length).skip(start).collect();
            match first & 0xf {
                CLOSE => self.is_closed = true,
                PING => self.socket.write_all(&frame(FINAL | PONG, &payload))?,
                PONG => {}
                _ => {
                    self.lines.extend_from_slice(&payload);
                    if first & FINAL != 0 {
                        self.lines.push(b'\n');
                    }
                }
            }
        }
        Ok(())
    }
}

impl Write for WebSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut frames = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (payload, ends) = part.strip_suffix(b"\n").map_or((part, 0), |whole| (whole, FINAL));
            frames.extend_from_slice(&frame(ends | if self.within { 0 } else { TEXT }, payload));
            self.within = ends == 0;
        }
        self.socket.write_all(&frames)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for WebSocket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            self.take_frames()?;
            if !self.lines.is_empty() {
                let count = into.len().min(self.lines.len());
                into[..count].copy_from_slice(&self.lines[..count]);
                self.lines.drain(..count);
                return Ok(count);
            }
            let mut block = [0; 16 << 10];
            match self.socket.read(&mut block)? {
                0 => {
                    assert!(self.is_closed && self.came.is_empty(), "the broker has left without a word");
                    return Ok(0);
                }
                count => self.came.extend_from_slice(&block[..count]),
            }
        }
    }
}

/// A frame as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The first byte of a frame as a broker sends it, where what it carries begins, and how much that is.
fn header(came: &[u8]) -> Option<(u8, usize, usize)> {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
    let (first, second) = (*came.first()?, *came.get(1)?);
    assert!(second & 0x80 == 0 && first & 0x70 == 0, "a server's frame is neither masked nor extended");
    match second {
        126 => Some((first, 4, number(came.get(2..4)?))),
        127 => Some((first, 10, number(came.get(2..10)?))),
        length => Some((first, 2, length.into())),
    }
}
