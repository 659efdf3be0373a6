//! What one connection listens to, and where it stands in each stream's list of listeners.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::wire::ids::{Prefix, StreamName};

use super::prefixes;

/// The streams of one connection. Most listen to one stream or none: those cost no allocation.
#[derive(Debug, Default)]
pub(super) enum Listens {
    #[default]
    None,
    One(StreamName, Place),
    #[expect(clippy::box_collection, reason = "the table of connections stays small")]
    Many(Box<BTreeMap<StreamName, Place>>),
}

/// How a connection listens to a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Its position in the stream's list. It fits: positions count connections, whose ids are u32.
    at: u32,
    /// Whether it asked for the stream by its name, and not only by a prefix.
    pub(super) named: bool,
}

impl Place {
    pub(super) fn new(position: usize, named: bool) -> Self {
        Self { at: position as u32, named }
    }

    pub(super) fn position(self) -> usize {
        self.at as usize
    }
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

    /// How the connection listens to the stream, if it does.
    pub(super) fn get(&self, stream: &StreamName) -> Option<Place> {
        match self {
            Self::One(name, place) if name == stream => Some(*place),
            Self::None | Self::One(..) => None,
            Self::Many(streams) => streams.get(stream).copied(),
        }
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, stream: &StreamName) -> Option<&mut Place> {
        match self {
            Self::One(name, place) if name == stream => Some(place),
            Self::None | Self::One(..) => None,
            Self::Many(streams) => streams.get_mut(stream),
        }
    }

    /// Enters a stream.
    pub(super) fn insert(&mut self, stream: &StreamName, place: Place) {
        match self {
            Self::None => *self = Self::One(stream.clone(), place),
            Self::One(name, before) if name == stream => *before = place,
            Self::One(name, before) => {
                let both = BTreeMap::from([(name.clone(), *before), (stream.clone(), place)]);
                *self = Self::Many(Box::new(both));
            }
            Self::Many(streams) => {
                streams.insert(stream.clone(), place);
            }
        }
    }

    /// Has another position in the list of a stream from now on.
    pub(super) fn moved(&mut self, stream: &StreamName, position: usize) {
        if let Some(place) = self.get_mut(stream) {
            *place = Place::new(position, place.named);
        }
    }

    /// Leaves a stream. Returns how it listened to it.
    pub(super) fn remove(&mut self, stream: &StreamName) -> Option<Place> {
        match self {
            Self::One(name, place) if name == stream => {
                let place = *place;
                *self = Self::None;
                Some(place)
            }
            Self::None | Self::One(..) => None,
            Self::Many(streams) => {
                let place = streams.remove(stream);
                if streams.is_empty() {
                    *self = Self::None;
                }
                place
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

    /// The next of the streams that a prefix matches, behind the one where one is, and whether it was asked for by its name.
    pub(super) fn next(&self, prefix: &Prefix, at: Option<&StreamName>) -> Option<(StreamName, bool)> {
        match self {
            Self::None => None,
            Self::One(name, place) => (prefix.matches(name) && at.is_none_or(|at| at < name)).then(|| (name.clone(), place.named)),
            Self::Many(streams) => {
                let found =
                    prefixes::next(prefix, at, |bound| streams.range::<str, _>((bound, Bound::Unbounded)).next().map(|(name, _)| name))?;
                Some((found.clone(), streams.get(found)?.named))
            }
        }
    }
}
