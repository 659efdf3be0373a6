//! WebSockets (RFC 6455): each text message is one line, in either direction.
//!
//! A client is held to the protocol: what it sends has to be masked, and text. A message may come in any number of frames; a line break in
//! it counts as a blank, since in JSON it is no more than that.

mod frames;
mod handshake;
#[cfg(test)]
mod tests;

use crate::broker::outbox::TransportKind;

use super::framed::{Came, Framing, Piece, Wrapped};
use frames::{BINARY, CLOSE, CONTINUATION, FINAL, Frame, LONGEST_HEADER, MASKED, PING, PONG, RESERVED, TEXT, put_frame, unmask};
pub(super) use handshake::accept;

/// The most that a control frame may carry.
const LONGEST_CONTROL: u64 = 125;

/// Why a WebSocket is closed, by RFC 6455.
const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;
const NOT_TEXT: u16 = 1003;

/// Lines as text messages.
#[derive(Debug, Default)]
pub(super) struct TextMessages {
    /// The header of the frame that comes.
    header: [u8; LONGEST_HEADER],
    /// How much of it has come.
    have: usize,
    /// What the frame carries, once its header has come.
    frame: Option<Frame>,
    /// A message has begun.
    within: bool,
    /// What a control frame carries.
    control: Vec<u8>,
    /// The rule that the client has broken, if it has.
    broken: Option<u16>,
}

impl TextMessages {
    /// Takes what is missing of a frame's header. True once it is whole.
    fn take_header(&mut self, came: &mut &mut [u8]) -> Result<bool, u16> {
        loop {
            let need = self.header_length();
            if self.have == need {
                break;
            }
            let taken = std::mem::take(came);
            let (part, rest) = taken.split_at_mut((need - self.have).min(taken.len()));
            *came = rest;
            if part.is_empty() {
                return Ok(false);
            }
            if let Some(room) = self.header.get_mut(self.have..self.have + part.len()) {
                room.copy_from_slice(part);
            }
            self.have += part.len();
        }
        self.frame = Some(self.read_header()?);
        self.have = 0;
        Ok(true)
    }

    fn header_length(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let length = match self.header[1] & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.header[1] & MASKED != 0 { 4 } else { 0 }
    }

    fn read_header(&self) -> Result<Frame, u16> {
        let (first, second) = (self.header[0], self.header[1]);
        let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let (length, after) = match second & !MASKED {
            126 => (number(&self.header[2..4]), 4),
            127 => (number(&self.header[2..10]), 10),
            short => (u64::from(short), 2),
        };
        let mut mask = [0; 4];
        mask.copy_from_slice(self.header.get(after..after + 4).unwrap_or(&[0; 4]));
        let frame = Frame { opcode: first & 0x0f, is_final: first & FINAL != 0, mask, came: 0, length };
        if first & RESERVED != 0 || second & MASKED == 0 {
            return Err(PROTOCOL_ERROR);
        }
        match frame.opcode {
            CONTINUATION if self.within => Ok(frame),
            TEXT if !self.within => Ok(frame),
            BINARY if !self.within => Err(NOT_TEXT),
            CLOSE | PING | PONG if frame.is_final && frame.length <= LONGEST_CONTROL => Ok(frame),
            _ => Err(PROTOCOL_ERROR),
        }
    }

    /// Takes what has come of what the frame carries.
    fn take_payload(&mut self, came: &mut &mut [u8], lines: &mut Vec<u8>, answer: &mut Vec<u8>) -> Result<Came, u16> {
        let Some(frame) = &mut self.frame else { return Ok(Came::Open) };
        let taken = std::mem::take(came);
        let left = usize::try_from(frame.length - frame.came).unwrap_or(usize::MAX);
        let (part, rest) = taken.split_at_mut(left.min(taken.len()));
        *came = rest;
        unmask(part, frame.mask, frame.came);
        frame.came += part.len() as u64;
        let is_whole = frame.came == frame.length;
        let is_control = frame.opcode & 0x8 != 0;
        if is_control {
            self.control.extend_from_slice(part);
        } else {
            let before = lines.len();
            lines.extend_from_slice(part);
            for at in memchr::memchr_iter(b'\n', part) {
                if let Some(byte) = lines.get_mut(before + at) {
                    *byte = b' ';
                }
            }
        }
        if !is_whole {
            return Ok(Came::Open);
        }
        let (opcode, is_final) = (frame.opcode, frame.is_final);
        self.frame = None;
        if !is_control {
            self.within = !is_final;
            if is_final {
                lines.push(b'\n');
            }
            return Ok(Came::Open);
        }
        let control = std::mem::take(&mut self.control);
        match opcode {
            PING => {
                // Of several, only the last has to be answered.
                answer.clear();
                put_frame(FINAL | PONG, &control, answer);
                Ok(Came::Open)
            }
            CLOSE => Ok(Came::End),
            _ => Ok(Came::Open),
        }
    }
}

impl Framing for TextMessages {
    const KIND: TransportKind = TransportKind::WebSocket;

    fn frame(&mut self, piece: Piece<'_>, out: &mut Vec<u8>) -> bool {
        let opcode = if piece.starts { TEXT } else { CONTINUATION };
        put_frame(opcode | if piece.ends { FINAL } else { 0 }, piece.bytes, out);
        true
    }

    fn unframe(&mut self, came: &mut [u8], lines: &mut Vec<u8>, answer: &mut Vec<u8>) -> Came {
        let mut came = came;
        loop {
            let taken = match self.frame {
                None => match self.take_header(&mut came) {
                    Ok(false) => return Came::Open,
                    // One that carries nothing is whole already.
                    Ok(true) => self.take_payload(&mut came, lines, answer),
                    Err(code) => Err(code),
                },
                Some(_) if came.is_empty() => return Came::Open,
                Some(_) => self.take_payload(&mut came, lines, answer),
            };
            match taken {
                Ok(Came::Open) => {}
                Ok(ended) => return ended,
                Err(code) => {
                    self.broken = Some(code);
                    return Came::End;
                }
            }
        }
    }

    fn wrap(&mut self, _out: &mut Vec<u8>, _wrapped: Wrapped) {}

    fn beat(&mut self, out: &mut Vec<u8>) {
        put_frame(FINAL | PING, b"", out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        put_frame(FINAL | CLOSE, &self.broken.unwrap_or(NORMAL).to_be_bytes(), out);
    }
}
