//! Server-sent events: each becomes a line. One without a name is a message, and stands behind the label; one with a name is told as
//! `event NAME DATA`.

/// Events on their way.
#[derive(Debug)]
pub(super) struct EventLines {
    /// The body comes in chunks.
    chunked: bool,
    /// How much of the chunk is to come, with the line's end behind it.
    chunk: usize,
    label: String,
    /// The line of a chunk's length that has not come whole.
    length: Vec<u8>,
    /// A line of the text that has not come whole.
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
}

impl EventLines {
    /// Messages stand behind this label.
    pub(super) fn new(chunked: bool, label: String) -> Self {
        Self { chunked, chunk: 0, label, length: Vec::new(), line: Vec::new(), name: Vec::new(), data: Vec::new() }
    }

    /// Appends the events that have come.
    ///
    /// # Errors
    /// If a chunk breaks the rules, or is the last.
    pub(super) fn unwrap(&mut self, came: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        if !self.chunked {
            self.text(came, out);
            return Ok(());
        }
        let mut rest = came;
        while let Some(byte) = rest.first() {
            if self.chunk > 0 {
                let (part, after) = rest.split_at(self.chunk.min(rest.len()));
                // Two bytes of it are the line's end behind the chunk.
                self.text(&part[..part.len().min(self.chunk.saturating_sub(2))], out);
                (self.chunk, rest) = (self.chunk - part.len(), after);
                continue;
            }
            rest = &rest[1..];
            if *byte != b'\n' {
                self.length.push(*byte);
                continue;
            }
            let digits = std::mem::take(&mut self.length);
            let digits = std::str::from_utf8(&digits).unwrap_or_default().trim_end();
            self.chunk = match usize::from_str_radix(digits, 16) {
                Ok(0) => return Err("the broker ended the events".to_owned()),
                Ok(length) => length + 2,
                Err(_) => return Err(format!("a chunk of the length {digits:?}")),
            };
        }
        Ok(())
    }

    fn text(&mut self, mut text: &[u8], out: &mut Vec<u8>) {
        while let Some(end) = memchr::memchr(b'\n', text) {
            self.line.extend_from_slice(&text[..end]);
            let line = std::mem::take(&mut self.line);
            self.take(&line, out);
            self.line = line;
            self.line.clear();
            text = &text[end + 1..];
        }
        self.line.extend_from_slice(text);
    }

    fn take(&mut self, line: &[u8], out: &mut Vec<u8>) {
        if let Some(data) = line.strip_prefix(b"data: ") {
            self.data.extend_from_slice(data);
        } else if let Some(name) = line.strip_prefix(b"event: ") {
            self.name.extend_from_slice(name);
        } else if line.is_empty() && !(self.data.is_empty() && self.name.is_empty()) {
            if self.name.is_empty() {
                out.extend_from_slice(self.label.as_bytes());
            } else {
                out.extend_from_slice(b"event ");
                out.append(&mut self.name);
                out.push(b' ');
            }
            out.append(&mut self.data);
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = ": hi\n\nid: 1:0\ndata: {\"a\":1}\n\nevent: joined\ndata: {}\n\nid: 1:1\ndata: [2]\n\n";

    #[test]
    fn events_are_lines_however_they_come() {
        let mut chunked = String::new();
        for part in [&TEXT[..9], &TEXT[9..30], &TEXT[30..]] {
            chunked += &format!("{:06x}\r\n{part}\r\n", part.len());
        }
        for (is_chunked, bytes) in [(false, TEXT), (true, &*chunked)] {
            for size in 1..bytes.len() {
                let (mut events, mut out) = (EventLines::new(is_chunked, "a ".to_owned()), Vec::new());
                for piece in bytes.as_bytes().chunks(size) {
                    events.unwrap(piece, &mut out).unwrap();
                }
                assert_eq!(String::from_utf8(out).unwrap(), "a {\"a\":1}\nevent joined {}\na [2]\n");
            }
        }
    }

    #[test]
    fn the_end_and_what_is_no_chunk_are_told() {
        for bytes in ["0\r\n\r\n", "hello\r\n"] {
            assert!(EventLines::new(true, String::new()).unwrap(bytes.as_bytes(), &mut Vec::new()).is_err());
        }
    }
}
