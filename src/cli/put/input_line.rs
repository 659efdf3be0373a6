//! Standard input, cut into lines of bounded length.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// What a read led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum InputLine {
    /// A line, without what ends it.
    Whole(Vec<u8>),
    /// A line has become too long. It is not kept; the next read skips the rest of it.
    TooLong,
    /// The input has ended.
    End,
}

/// Reads lines.
#[derive(Debug)]
pub(super) struct InputLines<R> {
    input: R,
    /// The longest line, in bytes.
    limit: usize,
    /// The line up to here ...
    begun: Vec<u8>,
    /// ... or the rest of one that is too long.
    skipping: bool,
}

impl<R: AsyncBufRead + Unpin> InputLines<R> {
    pub(super) fn new(input: R, limit: usize) -> Self {
        Self { input, limit, begun: Vec::new(), skipping: false }
    }

    /// The next line. Dropped while it waits, it loses nothing.
    pub(super) async fn next(&mut self) -> io::Result<InputLine> {
        loop {
            let block = self.input.fill_buf().await?;
            if block.is_empty() {
                return Ok(if self.begun.is_empty() { InputLine::End } else { self.whole() });
            }
            let end = memchr::memchr(b'\n', block);
            let taken = block.get(..end.unwrap_or(block.len())).unwrap_or_default();
            let count = taken.len() + usize::from(end.is_some());
            let is_too_long = !self.skipping && self.begun.len() + taken.len() > self.limit;
            if !self.skipping && !is_too_long {
                self.begun.extend_from_slice(taken);
            }
            self.input.consume(count);
            let was_skipping = self.skipping;
            self.skipping = (was_skipping || is_too_long) && end.is_none();
            if is_too_long {
                self.begun = Vec::new();
                return Ok(InputLine::TooLong);
            }
            if end.is_some() && !was_skipping {
                return Ok(self.whole());
            }
        }
    }

    fn whole(&mut self) -> InputLine {
        let mut line = std::mem::take(&mut self.begun);
        if line.ends_with(b"\r") {
            line.pop();
        }
        InputLine::Whole(line)
    }
}

#[cfg(test)]
mod tests {
    use super::{InputLine, InputLines};

    async fn read(input: &[u8], block: usize) -> Vec<String> {
        let mut lines = InputLines::new(tokio::io::BufReader::with_capacity(block, input), 4);
        let mut read = Vec::new();
        loop {
            read.push(match lines.next().await.unwrap() {
                InputLine::Whole(line) => String::from_utf8(line).unwrap(),
                InputLine::TooLong => "too long".to_owned(),
                InputLine::End => return read,
            });
        }
    }

    #[tokio::test]
    async fn lines_come_whole_however_they_are_read() {
        for block in 1..20 {
            assert_eq!(
                read(b"one\ntwo\r\n\n12345\n1234\n\n123456789", block).await,
                ["one", "two", "", "too long", "1234", "", "too long"]
            );
            assert_eq!(read(b"last", block).await, ["last"]);
            assert_eq!(read(b"", block).await, [""; 0]);
        }
    }

    /// One that writes for ever without a line end.
    #[tokio::test]
    async fn a_line_without_end_is_refused_while_it_comes_and_is_not_kept() {
        let mut lines = InputLines::new(tokio::io::BufReader::new(tokio::io::repeat(b'x')), 1 << 20);
        assert_eq!(lines.next().await.unwrap(), InputLine::TooLong);
        assert_eq!(lines.begun.capacity(), 0);
    }
}
