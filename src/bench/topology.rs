//! Who publishes to which stream and who listens to which: numbers only.

/// The numbers of everything, and how they hang together.
///
/// Up to as many streams as publishers, publisher `p` writes to stream `p % streams`. With more, it takes the streams
/// `p`, `p + publishers`, `p + 2 * publishers` ... in turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Topology {
    /// Publishing connections.
    pub(crate) publishers: usize,
    /// Streams.
    pub(crate) streams: usize,
    /// Listening connections per stream.
    pub(crate) listeners: usize,
    /// How many streams one listening connection listens to, at most.
    pub(crate) block: usize,
}

impl Topology {
    /// How many blocks of streams there are.
    pub(crate) fn blocks(&self) -> usize {
        self.streams.div_ceil(self.block)
    }

    /// How many listening connections there are.
    pub(crate) fn connections(&self) -> usize {
        self.blocks() * self.listeners
    }

    /// The block that a stream is in. Neighbours are in different blocks, so that a publisher that takes streams in turn
    /// reaches all connections, however many streams each has.
    pub(crate) fn block_of(&self, stream: usize) -> usize {
        stream % self.blocks()
    }

    /// The streams of a block.
    pub(crate) fn streams_of(&self, block: usize) -> impl ExactSizeIterator<Item = usize> + use<> {
        (block..self.streams).step_by(self.blocks())
    }

    /// Where a stream is in its block.
    pub(crate) fn place_of(&self, stream: usize) -> usize {
        stream / self.blocks()
    }

    /// The stream at a place of a block.
    pub(crate) fn stream_at(&self, block: usize, place: usize) -> usize {
        block + place * self.blocks()
    }

    /// How many publishers a stream has at most.
    pub(crate) fn publishers_per_stream(&self) -> usize {
        self.publishers.div_ceil(self.streams)
    }

    /// How many streams a publisher takes in turn.
    pub(crate) fn turns(&self, publisher: usize) -> usize {
        if self.publishers >= self.streams { 1 } else { (self.streams - publisher).div_ceil(self.publishers) }
    }

    /// The stream at a publisher's given turn.
    pub(crate) fn stream(&self, publisher: usize, turn: usize) -> usize {
        publisher % self.streams + turn * self.publishers
    }

    /// The publisher that has the given rank in a stream, if there is one.
    pub(crate) fn publisher(&self, stream: usize, rank: usize) -> Option<usize> {
        let publisher = stream % self.publishers.min(self.streams) + rank * self.streams;
        (publisher < self.publishers).then_some(publisher)
    }

    /// The rank of a publisher among those of its stream.
    pub(crate) fn rank(&self, publisher: usize) -> usize {
        publisher / self.streams
    }

    /// Where a publisher's `number`th message to a stream stands among all messages, when publishers take turns.
    pub(crate) fn position(&self, publisher: usize, stream: usize, number: u64) -> u64 {
        let turn = if self.publishers >= self.streams { 0 } else { stream / self.publishers };
        let own = number * self.turns(publisher) as u64 + turn as u64;
        own * self.publishers as u64 + publisher as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_has_its_publishers_and_every_message_its_position() {
        for (publishers, streams) in [(1, 1), (8, 8), (8, 1), (5, 2), (1, 10), (3, 10)] {
            let topology = Topology { publishers, streams, listeners: 1, block: 4 };
            let mut pairs = 0;
            for publisher in 0..publishers {
                for turn in 0..topology.turns(publisher) {
                    let stream = topology.stream(publisher, turn);
                    assert!(stream < streams);
                    assert_eq!(topology.publisher(stream, topology.rank(publisher)), Some(publisher), "{publishers} on {streams}");
                    let own = (3 * topology.turns(publisher) + turn) as u64;
                    assert_eq!(topology.position(publisher, stream, 3), own * publishers as u64 + publisher as u64);
                    pairs += 1;
                }
            }
            assert_eq!(pairs, publishers.max(streams));
            let mut heard = 0;
            for block in 0..topology.blocks() {
                for (place, stream) in topology.streams_of(block).enumerate() {
                    assert_eq!((topology.block_of(stream), topology.place_of(stream)), (block, place));
                    assert_eq!(topology.stream_at(block, place), stream);
                    heard += 1;
                }
            }
            assert_eq!(heard, streams);
        }
    }
}
