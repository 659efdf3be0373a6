//! Where epochs come from.

use crate::wire::Epoch;

/// Gives out epochs: numbers that look random and do not repeat (SplitMix64), from a seed that is another one in each life of a
/// broker.
#[derive(Debug)]
pub struct Epochs(u64);

impl Epochs {
    /// Those that follow from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The name of the life of a broker that draws these. It is none of them.
    pub(super) fn life(&self) -> Epoch {
        Self(!self.0).draw()
    }

    /// The next one.
    pub fn draw(&mut self) -> Epoch {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Epoch::new(mixed ^ mixed >> 31)
    }
}
