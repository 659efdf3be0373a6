//! The containers around a place in JSON, at one bit a level.

/// The containers that are open: a bit each, set for an object.
#[derive(Default)]
pub(super) struct Open {
    /// The innermost, up to 64.
    bits: u64,
    depth: usize,
    /// Those around them, 64 a word.
    outer: Vec<u64>,
}

impl Open {
    #[inline(always)]
    pub(super) fn push(&mut self, object: bool) {
        if self.depth.is_multiple_of(64) && self.depth > 0 {
            self.put_by();
        }
        self.bits = self.bits << 1 | u64::from(object);
        self.depth += 1;
    }

    #[inline(always)]
    pub(super) fn pop(&mut self) {
        self.depth -= 1;
        self.bits >>= 1;
        if self.depth.is_multiple_of(64) && self.depth > 0 {
            self.take_back();
        }
    }

    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.depth == 0
    }

    /// Whether the innermost is an object.
    #[inline(always)]
    pub(super) fn in_object(&self) -> bool {
        self.bits & 1 == 1
    }

    /// Whether the innermost, which is an array, stands in another array.
    #[inline(always)]
    pub(super) fn in_array_of_array(&self) -> bool {
        self.depth > 1 && self.bits & 2 == 0
    }

    #[cold]
    #[inline(never)]
    fn put_by(&mut self) {
        self.outer.push(self.bits);
    }

    #[cold]
    #[inline(never)]
    fn take_back(&mut self) {
        self.bits = self.outer.pop().unwrap_or(0);
    }
}
