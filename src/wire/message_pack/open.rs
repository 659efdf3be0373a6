//! The containers that are open while a value is walked, without recursion.

/// How many containers are kept in place; deeper ones are packed into bytes.
const NEAR: usize = 12;

/// The innermost open container, and those around it. A packed one takes a byte, or two from 64 values left on: so a walk never
/// takes more memory than the bytes that it walks through.
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
            None => self.push_far(),
        }
        self.depth += 1;
        self.here = Level((values as u64) << 1 | u64::from(map));
    }

    /// Notes that a value has ended. To be called again after [`Next::End`], since the container that ended is a value as well.
    #[inline]
    pub(super) fn next(&mut self) -> Next {
        // A container is entered only if it has values, and left only once it has none.
        self.here = Level(self.here.0.saturating_sub(2));
        if self.here.left() > 0 {
            return Next::Value { map: self.here.map(), key: self.at_key() };
        }
        let map = self.here.map();
        let Some(depth) = self.depth.checked_sub(1) else { return Next::Nothing };
        self.depth = depth;
        self.here = match self.near.get(depth) {
            Some(level) => *level,
            None => self.pop_far(),
        };
        Next::End { map }
    }

    /// Packs the innermost container: seven bits a byte, the lowest pushed last. The top bit of a byte says that more lie below it.
    #[cold]
    fn push_far(&mut self) {
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
    fn pop_far(&mut self) -> Level {
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
    fn packed_counts_come_back_as_they_were() {
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
