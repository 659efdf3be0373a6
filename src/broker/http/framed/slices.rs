//! Lines within the slices of one write, which may begin and end anywhere.

use std::io::IoSlice;

/// What is left of several slices.
pub(super) struct Rest<'s> {
    slices: &'s [IoSlice<'s>],
    /// How much of the first is done.
    at: usize,
}

impl<'s> Rest<'s> {
    /// All of them.
    pub(super) fn new(slices: &'s [IoSlice<'s>]) -> Self {
        Self { slices, at: 0 }
    }

    /// What is left of the line, without its LF, and whether that is there.
    pub(super) fn line(&mut self) -> Option<(&'s [u8], bool)> {
        loop {
            let (first, others) = self.slices.split_first()?;
            let rest = first.get(self.at..).unwrap_or_default();
            if !rest.is_empty() {
                let end = memchr::memchr(b'\n', rest);
                return Some((rest.get(..end.unwrap_or(rest.len())).unwrap_or_default(), end.is_some()));
            }
            (self.slices, self.at) = (others, 0);
        }
    }

    /// Whether an LF follows these bytes, with which what is left begins.
    pub(super) fn ends_with(&self, bytes: &[u8]) -> bool {
        self.slices.first().is_some_and(|first| first.get(self.at + bytes.len()) == Some(&b'\n'))
    }

    pub(super) fn advance(&mut self, count: usize) {
        self.at += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_in_slices_that_are_cut_anywhere() {
        let slices = [IoSlice::new(b"one\ntw"), IoSlice::new(b""), IoSlice::new(b"o\n\nthree")];
        let (mut rest, mut found) = (Rest::new(&slices), Vec::new());
        while let Some((bytes, ends)) = rest.line() {
            found.push((std::str::from_utf8(bytes).unwrap(), ends, rest.ends_with(bytes)));
            rest.advance(bytes.len() + usize::from(ends));
        }
        assert_eq!(found, [("one", true, true), ("tw", false, false), ("o", true, true), ("", true, true), ("three", false, false)]);
    }
}
