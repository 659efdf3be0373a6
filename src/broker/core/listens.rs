//! What one connection listens to, and where it stands in each stream's list of listeners.

use std::collections::BTreeMap;

use crate::wire::ids::StreamName;

/// The streams of one connection. Most listen to one stream or none: those cost no allocation.
#[derive(Debug, Default)]
pub(super) enum Listens {
    #[default]
    None,
    One(StreamName, u32),
    #[expect(clippy::box_collection, reason = "the table of connections stays small")]
    Many(Box<BTreeMap<StreamName, u32>>),
}

impl Listens {
    /// How many streams.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(..) => 1,
            Self::Many(streams) => streams.len(),
        }
    }

    /// The connection's position in the stream's list, if it listens to it.
    pub(super) fn position(&self, stream: &StreamName) -> Option<usize> {
        match self {
            Self::One(name, position) if name == stream => Some(*position as usize),
            Self::None | Self::One(..) => None,
            Self::Many(streams) => streams.get(stream).map(|position| *position as usize),
        }
    }

    /// Enters a stream, or changes the position in it.
    pub(super) fn insert(&mut self, stream: &StreamName, position: usize) {
        // Positions fit: they count connections, whose ids are u32.
        let at = position as u32;
        match self {
            Self::None => *self = Self::One(stream.clone(), at),
            Self::One(name, position) if name == stream => *position = at,
            Self::One(name, position) => {
                let both = BTreeMap::from([(name.clone(), *position), (stream.clone(), at)]);
                *self = Self::Many(Box::new(both));
            }
            Self::Many(streams) => {
                streams.insert(stream.clone(), at);
            }
        }
    }

    /// Leaves a stream. Returns the position held in it.
    pub(super) fn remove(&mut self, stream: &StreamName) -> Option<usize> {
        match self {
            Self::One(name, position) if name == stream => {
                let position = *position as usize;
                *self = Self::None;
                Some(position)
            }
            Self::None | Self::One(..) => None,
            Self::Many(streams) => {
                let position = streams.remove(stream).map(|position| position as usize);
                if streams.is_empty() {
                    *self = Self::None;
                }
                position
            }
        }
    }

    /// Any one of the streams.
    pub(super) fn first(&self) -> Option<&StreamName> {
        match self {
            Self::None => None,
            Self::One(name, _) => Some(name),
            Self::Many(streams) => streams.keys().next(),
        }
    }
}
