//! The containers that are open while a value is walked, without recursion.

/// How many containers are kept in place; deeper ones are put by.
const NEAR: usize = 12;

/// The innermost open container, and those around it. What is put by takes a byte a level, two from 64 values left on: so
/// no walk takes more memory than the bytes that it walks.
pub(super) struct Open {
    /// How many values the innermost has left, a key and its value being two, and whether it is a map.
    here: Level,
    near: [Level; NEAR],
    depth: usize,
    far: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Level(u64);

impl Level {
    fn map(self) -> bool {
        self.0 & 1 == 1
    }

    fn left(self) -> u64 {
        self.0 >> 1
    }
}

/// What a container's end leads to.
pub(super) enum Next {
    /// Another value, in a map or not.
    Value { map: bool, key: bool },
    /// The innermost container ends here, a map or not.
    End { map: bool },
    /// Nothing is left.
    Nothing,
}

impl Open {
    /// Before a single value.
    #[inline]
    pub(super) fn new() -> Self {
        Self { here: Level(1 << 1), near: [Level(0); NEAR], depth: 0, far: Vec::new() }
    }

    /// Whether the next value is a key.
    #[inline(always)]
    pub(super) fn at_key(&self) -> bool {
        self.here.map() && self.here.left().is_multiple_of(2)
    }

    /// Enters a container with `values` values, at least one.
    #[inline]
    pub(super) fn enter(&mut self, values: usize, map: bool) {
        match self.near.get_mut(self.depth) {
            Some(place) => *place = self.here,
            None => self.put_by(),
        }
        self.depth += 1;
        self.here = Level((values as u64) << 1 | u64::from(map));
    }

    /// A value has ended. Asked again after an [`Next::End`], since the container that ended is a value as well.
    #[inline]
    pub(super) fn next(&mut self) -> Next {
        // No level is entered without a value, and none is left with one.
        self.here = Level(self.here.0.saturating_sub(2));
        if self.here.left() > 0 {
            return Next::Value { map: self.here.map(), key: self.at_key() };
        }
        let map = self.here.map();
        let Some(depth) = self.depth.checked_sub(1) else { return Next::Nothing };
        self.depth = depth;
        self.here = match self.near.get(depth) {
            Some(level) => *level,
            None => self.take_back(),
        };
        Next::End { map }
    }

    /// Seven bits a byte, the last ones on top; the top bit of a byte says that more are below it.
    #[cold]
    fn put_by(&mut self) {
        let mut shift = 63;
        while shift > 0 && self.here.0 >> shift == 0 {
            shift -= 7;
        }
        let mut below = 0;
        loop {
            self.far.push((self.here.0 >> shift) as u8 & 0x7f | below);
            if shift == 0 {
                return;
            }
            (shift, below) = (shift - 7, 0x80);
        }
    }

    #[cold]
    fn take_back(&mut self) -> Level {
        let (mut level, mut shift) = (0, 0);
        while let Some(byte) = self.far.pop() {
            level |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
        }
        Level(level)
    }
}

#[cfg(test)]
mod tests {
    use super::{Next, Open};

    #[test]
    fn counts_come_back_as_they_were_put_by() {
        let counts = [1, 2, 31, 32, 33, 63, 64, 100, 4095, 4096, 1 << 20, u32::MAX as usize];
        let mut open = Open::new();
        let mut levels = Vec::new();
        for round in 0..10 {
            for count in counts {
                // At least two, so that the inner one is a value and the outer one goes on.
                let values = 2 * count;
                open.enter(values, (round + count) % 2 == 0);
                levels.push((values, (round + count) % 2 == 0));
            }
        }
        assert!(open.far.len() <= 6 * levels.len(), "{} bytes", open.far.len());
        while let Some((values, map)) = levels.pop() {
            assert_eq!((open.here.left(), open.here.map()), (values as u64, map));
            // All its values but the last.
            open.here.0 = 1 << 1 | u64::from(map);
            assert!(matches!(open.next(), Next::End { map: ended } if ended == map));
        }
        assert!(matches!(open.next(), Next::Nothing) && open.far.is_empty());
    }
}
