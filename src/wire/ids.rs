//! Names and ids that every layer speaks of. Knows nothing of the wire or of sockets.

use std::fmt;

use smol_str::SmolStr;

/// The name of a stream: a non-empty text. Up to 23 bytes are stored in place, longer texts are shared; a clone never allocates.
///
/// Two names are one stream when their text is equal, however it was escaped on the wire. How long a name may be is
/// a setting (`limits.name`) that the decoder holds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(SmolStr);

/// A stream name was empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stream name needs at least one character")]
pub struct EmptyName;

impl StreamName {
    /// Makes a name of a text.
    ///
    /// # Errors
    /// [`EmptyName`] if it is empty.
    pub fn new(name: &str) -> Result<Self, EmptyName> {
        if name.is_empty() {
            return Err(EmptyName);
        }
        Ok(Self(SmolStr::new(name)))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name is one of the broker's own (it begins with `$`): clients may listen to it, not write to it.
    pub fn is_reserved(&self) -> bool {
        is_reserved(self.0.as_bytes())
    }
}

/// Whether a name, or the beginning of one, is reserved for the broker. Nothing else knows the rule.
#[inline]
pub(crate) fn is_reserved(name: &[u8]) -> bool {
    name.first() == Some(&b'$')
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first text behind all reserved names, in the order of texts.
#[cfg(feature = "broker")]
#[cfg(feature = "broker")]
pub(crate) const BEHIND_RESERVED: &str = "%";

/// The beginning of the names of several streams. The empty one is that of all names that are not reserved: those are meant only by a
/// prefix that is reserved itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(SmolStr);

impl Prefix {
    /// Makes a prefix of a text, which may be empty.
    pub fn new(prefix: &str) -> Self {
        Self(SmolStr::new(prefix))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the stream is one of those that are meant.
    pub fn matches(&self, stream: &StreamName) -> bool {
        stream.0.starts_with(self.as_str()) && is_reserved(self.0.as_bytes()) == stream.is_reserved()
    }
}

impl std::borrow::Borrow<str> for Prefix {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for StreamName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One client's connection, as the core and the actor know it.
///
/// Ids are dense and reused: the id of a connection that has ended is given to a later one, but only after the actor
/// has seen the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

impl ConnectionId {
    /// The id as an index into a table of connections.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
