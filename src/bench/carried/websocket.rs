//! The client's side of a WebSocket (RFC 6455), as far as brokers make use of it.

const FINAL: u8 = 0x80;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const MASKED: u8 = 0x80;

/// Messages on their way.
#[derive(Debug)]
pub(super) struct Messages {
    /// Each is a text, and one line; otherwise bytes of a protocol that knows where its packets end.
    lines: bool,
    /// What each line is preceded by.
    label: String,
    /// A frame that has not come whole.
    carry: Vec<u8>,
    /// A message has begun, and goes on with the next frame.
    within: bool,
}

impl Messages {
    /// As lines, each behind the label, or as bytes.
    pub(super) fn new(lines: bool, label: String) -> Self {
        Self { lines, label, carry: Vec::new(), within: false }
    }

    /// Appends what is said in the frames that have come. What is to be answered goes to `answers`.
    ///
    /// # Errors
    /// If a frame breaks the rules, or is the last.
    pub(super) fn unwrap(&mut self, came: &[u8], out: &mut Vec<u8>, answers: &mut Vec<u8>) -> Result<(), String> {
        let mut carry = std::mem::take(&mut self.carry);
        // Whole frames are taken from where they stand.
        let mut rest = if carry.is_empty() {
            came
        } else {
            carry.extend_from_slice(came);
            &carry
        };
        while let Some(Frame { first, payload, behind }) = frame(rest)? {
            self.take(first, payload, out, answers)?;
            rest = behind;
        }
        self.carry = rest.to_vec();
        Ok(())
    }

    fn take(&mut self, first: u8, payload: &[u8], out: &mut Vec<u8>, answers: &mut Vec<u8>) -> Result<(), String> {
        match (first & 0x0f, self.within) {
            (TEXT, false) if self.lines => out.extend_from_slice(self.label.as_bytes()),
            (BINARY, false) if !self.lines => {}
            (0, true) => {}
            (PING, _) => {
                put(FINAL | PONG, payload, answers);
                return Ok(());
            }
            (PONG, _) => return Ok(()),
            (CLOSE, _) => return Err(format!("the broker closed the WebSocket: {:?}", String::from_utf8_lossy(payload))),
            (other, _) => return Err(format!("a frame with the opcode {other} came when none such was due")),
        }
        out.extend_from_slice(payload);
        self.within = first & FINAL == 0;
        if self.lines && !self.within {
            out.push(b'\n');
        }
        Ok(())
    }

    /// Appends what is said as frames: one for each line, or one for all.
    pub(super) fn wrap(&self, said: &[u8], out: &mut Vec<u8>) {
        if self.lines {
            said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).for_each(|line| put(FINAL | TEXT, line, out));
        } else if !said.is_empty() {
            put(FINAL | BINARY, said, out);
        }
    }
}

/// A whole frame.
struct Frame<'a> {
    first: u8,
    payload: &'a [u8],
    /// What has come behind it.
    behind: &'a [u8],
}

/// The first frame, if it is whole.
fn frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, String> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if second & MASKED != 0 || first & 0x70 != 0 {
        return Err("a server's frame is neither masked nor compressed".to_owned());
    }
    let (length, rest) = match (second, rest) {
        (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest),
        (127, [a, b, c, d, e, f, g, h, rest @ ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), rest),
        (126 | 127, _) => return Ok(None),
        (short, rest) => (u64::from(*short), rest),
    };
    Ok(rest.split_at_checked(length as usize).map(|(payload, behind)| Frame { first: *first, payload, behind }))
}

/// Appends a client's frame. A mask of zeros leaves what it masks as it is.
fn put(first: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    match payload.len() {
        length @ 0..=125 => out.push(MASKED | length as u8),
        length @ 126..=0xffff => {
            out.push(MASKED | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: bool, bytes: &[u8], size: usize) -> (Result<(), String>, String, Vec<u8>) {
        let (mut out, mut answers) = (Vec::new(), Vec::new());
        let mut messages = Messages::new(lines, "a ".to_owned());
        let done = bytes.chunks(size).try_for_each(|piece| messages.unwrap(piece, &mut out, &mut answers));
        (done, String::from_utf8(out).unwrap(), answers)
    }

    #[test]
    fn messages_are_lines_however_they_come() {
        let long = "x".repeat(300);
        let bytes = [&b"\x81\x03one\x89\x01!\x01\x02tw\x80\x01o\x81\x7e\x01\x2c"[..], long.as_bytes()].concat();
        for size in 1..bytes.len() {
            let (done, lines, answers) = told(true, &bytes, size);
            assert_eq!(done, Ok(()));
            assert_eq!(lines, format!("a one\na two\na {long}\n"));
            assert_eq!(answers, b"\x8a\x81\0\0\0\0!");
        }
        assert_eq!(told(false, b"\x82\x02\xd0\0"[..2].as_ref(), 1).1, "");
    }

    #[test]
    fn what_breaks_the_rules_is_told() {
        for bytes in [&b"\x88\x00"[..], b"\x82\x01x", b"\x80\x01x", b"\xc1\x01x", b"\x81\x81\0\0\0\0x", b"\x01\x01x\x81\x01y"] {
            assert!(told(true, bytes, 100).0.is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn each_line_is_a_message() {
        let mut out = Vec::new();
        Messages::new(true, String::new()).wrap(b"a\nbc\n", &mut out);
        assert_eq!(out, b"\x81\x81\0\0\0\0a\x81\x82\0\0\0\0bc");
    }
}
