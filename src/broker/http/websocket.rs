//! WebSockets (RFC 6455): each text message is one line, in either direction.
//!
//! A client is held to the protocol: what it sends has to be masked, and text. A message may come in any number of frames; a line break in
//! it counts as a blank, since in JSON it is no more than that.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::broker::outbox::TransportKind;

use super::framed::{Came, Framing, Piece, Wrapped};

/// What a server adds to the key of a client to answer it, by RFC 6455.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The longest header of a frame: two bytes, the length in eight, and the mask.
const LONGEST_HEADER: usize = 14;

/// The most that a control frame may carry.
const LONGEST_CONTROL: u64 = 125;

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// Why a WebSocket is closed, by RFC 6455.
const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;
const NOT_TEXT: u16 = 1003;

/// The answer to a request for a WebSocket, or why it is none.
pub(super) fn accept(headers: &HeaderMap) -> Result<String, &'static str> {
    let has = |name: header::HeaderName, word: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    if !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
        return Err("this is the address of a WebSocket: connect to it with ws:// or wss:// before the host");
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err("only version 13 of WebSocket is spoken here");
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
    let key =
        key.filter(|key| STANDARD.decode(key).is_ok_and(|key| key.len() == 16)).ok_or("Sec-WebSocket-Key has to be 16 bytes in base64")?;
    Ok(STANDARD.encode(Sha1::new().chain_update(key).chain_update(KEY_SUFFIX).finalize()))
}

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

#[derive(Debug)]
struct Frame {
    opcode: u8,
    is_final: bool,
    mask: [u8; 4],
    /// How many bytes of it have come.
    came: u64,
    length: u64,
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

/// Appends a frame. What a server sends is not masked.
fn put_frame(first: u8, payload: &[u8], out: &mut Vec<u8>) {
    let length = payload.len();
    match length {
        0..=125 => out.extend_from_slice(&[first, length as u8]),
        126..=0xffff => {
            out.extend_from_slice(&[first, 126]);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.extend_from_slice(&[first, 127]);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Takes the mask from bytes, of which `at` have come before.
fn unmask(bytes: &mut [u8], mask: [u8; 4], at: u64) {
    let mut turned = mask;
    turned.rotate_left((at % 4) as usize);
    let word = u32::from_ne_bytes(turned);
    let (words, rest) = bytes.as_chunks_mut::<4>();
    for bytes in words {
        *bytes = (u32::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(turned) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        put_frame(first, payload, &mut frame);
        let header = frame.len() - payload.len();
        frame[1] |= MASKED;
        let mask = [7, 11, 13, 251];
        let mut body = frame.split_off(header);
        unmask(&mut body, mask, 0);
        [frame, mask.to_vec(), body].concat()
    }

    /// The lines and answers, however the bytes fall apart.
    fn told(bytes: &[u8]) -> (String, Vec<u8>, Came) {
        let mut all = Vec::new();
        for size in [1, 2, 3, 5, 7, bytes.len().max(1)] {
            let mut framing = TextMessages::default();
            let (mut lines, mut out, mut last) = (Vec::new(), Vec::new(), Came::Open);
            for piece in bytes.chunks(size) {
                last = framing.unframe(&mut piece.to_vec(), &mut lines, &mut out);
                if last != Came::Open {
                    framing.end(&mut out);
                    break;
                }
            }
            all.push((String::from_utf8_lossy(&lines).into_owned(), out, last));
        }
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
        all.remove(0)
    }

    #[test]
    fn a_key_is_answered_as_rfc_6455_says() {
        let asked = |key: &'static str| {
            let mut headers = HeaderMap::new();
            // Several words in one header, or several headers.
            headers.insert(header::CONNECTION, "keep-alive, Upgrade".parse().unwrap());
            headers.append(header::UPGRADE, "h2c".parse().unwrap());
            headers.append(header::UPGRADE, "WebSocket".parse().unwrap());
            headers.insert(header::SEC_WEBSOCKET_VERSION, "13".parse().unwrap());
            headers.insert(header::SEC_WEBSOCKET_KEY, key.parse().unwrap());
            headers
        };
        let example = "dGhlIHNhbXBsZSBub25jZQ==";
        assert_eq!(accept(&asked(example)).as_deref(), Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        for missing in [header::CONNECTION, header::UPGRADE, header::SEC_WEBSOCKET_VERSION, header::SEC_WEBSOCKET_KEY] {
            let mut headers = asked(example);
            headers.remove(&missing);
            assert!(accept(&headers).is_err(), "without {missing}");
        }
        for key in ["", "dGhlIHNhbXBsZSBub25jZQ", "dGhl", "no base64"] {
            assert!(accept(&asked(key)).is_err(), "{key:?}");
        }
    }

    #[test]
    fn a_message_is_a_line_in_however_many_frames_it_comes() {
        let long = "x".repeat(70_000);
        let bytes = [
            masked(FINAL | TEXT, b"one"),
            masked(TEXT, b"tw"),
            masked(FINAL | PING, b"still there?"),
            masked(CONTINUATION, b""),
            masked(FINAL | CONTINUATION, b"o\n2"),
            masked(FINAL | TEXT, b""),
            masked(FINAL | TEXT, &b"y".repeat(300)),
            masked(FINAL | TEXT, long.as_bytes()),
            masked(FINAL | PONG, b"unasked"),
        ];
        let (lines, out, came) = told(&bytes.concat());
        assert_eq!(lines, format!("one\ntwo 2\n\n{}\n{long}\n", "y".repeat(300)));
        assert_eq!((out, came), ([&[FINAL | PONG, 12][..], b"still there?"].concat(), Came::Open));
    }

    #[test]
    fn the_end_is_told_once_all_before_it_is_taken() {
        let (lines, out, came) = told(&[masked(FINAL | TEXT, b"last"), masked(FINAL | CLOSE, b"\x03\xe8bye")].concat());
        assert_eq!((&*lines, out, came), ("last\n", b"\x88\x02\x03\xe8".to_vec(), Came::End));
    }

    #[test]
    fn what_breaks_the_rules_is_told_so() {
        let mut unmasked = Vec::new();
        put_frame(FINAL | TEXT, b"hello", &mut unmasked);
        for (bytes, code) in [
            (unmasked, PROTOCOL_ERROR),
            (masked(FINAL | 0x40 | TEXT, b"compressed"), PROTOCOL_ERROR),
            (masked(FINAL | CONTINUATION, b"of nothing"), PROTOCOL_ERROR),
            ([masked(TEXT, b"a"), masked(FINAL | TEXT, b"b")].concat(), PROTOCOL_ERROR),
            (masked(PING, b"in pieces"), PROTOCOL_ERROR),
            (masked(FINAL | PING, &[0; 126]), PROTOCOL_ERROR),
            (masked(FINAL | 0x3, b"unknown"), PROTOCOL_ERROR),
            (masked(FINAL | BINARY, b"\x81\xa6"), NOT_TEXT),
        ] {
            let (_, out, came) = told(&bytes);
            assert_eq!((out, came), ([&[FINAL | CLOSE, 2], &code.to_be_bytes()[..]].concat(), Came::End), "{bytes:?}");
        }
    }

    #[test]
    fn a_line_in_pieces_is_one_message() {
        let (mut framing, mut out) = (TextMessages::default(), Vec::new());
        for (bytes, starts, ends) in [(&b"ab"[..], true, false), (b"c", false, false), (b"", false, true), (b"d", true, true)] {
            framing.frame(Piece { bytes, starts, ends }, &mut out);
        }
        assert_eq!(out, b"\x01\x02ab\x00\x01c\x80\x00\x81\x01d");
    }
}
