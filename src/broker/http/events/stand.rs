//! Where a listener stands, as the id of its last event says it.

use std::io::Write;

/// Where a listener stands: the run, and how many of its messages have been. Kept as the line that says so, of which mostly one digit
/// changes, since each listener has it written for each message.
pub(super) struct Stand {
    line: Vec<u8>,
    /// Where its digits begin.
    digits: usize,
    sequence: u64,
}

impl Stand {
    pub(super) fn at(epoch: &str, sequence: u64) -> Self {
        let mut stand = Self { line: format!("id: {epoch}.").into_bytes(), digits: 0, sequence: 0 };
        stand.digits = stand.line.len();
        stand.skip(sequence);
        stand
    }

    /// One message further.
    pub(super) fn step(&mut self) {
        self.sequence += 1;
        for digit in self.line.iter_mut().skip(self.digits).rev() {
            if *digit != b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
        self.line.insert(self.digits, b'1');
    }

    /// So many messages further.
    pub(super) fn skip(&mut self, messages: u64) {
        self.sequence += messages;
        self.line.truncate(self.digits);
        // Writing to a vector cannot fail.
        let _ = write!(self.line, "{}", self.sequence);
    }

    pub(super) fn put(&self, end: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.line);
        out.extend_from_slice(end.as_bytes());
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::super::END;
    use super::*;

    #[test]
    fn each_step_is_told_in_full() {
        for start in [0, 8, 99, 998, 4_294_967_295, 9_999_999_999] {
            let mut stand = Stand::at("e", start);
            for step in 0..12 {
                let mut out = Vec::new();
                stand.put(if step % 2 == 0 { "" } else { END }, &mut out);
                let end = if step % 2 == 0 { "" } else { END };
                assert_eq!(String::from_utf8(out), Ok(format!("id: e.{}{end}\n", start + step)));
                stand.step();
            }
            stand.skip(988);
            assert_eq!(stand.line, format!("id: e.{}", start + 1000).into_bytes());
        }
    }
}
