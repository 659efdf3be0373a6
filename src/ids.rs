//! Names and ids that every layer speaks of. Knows nothing of the wire or of sockets.

use std::fmt;
use std::sync::Arc;

/// The name of a stream: a non-empty text, shared without copying.
///
/// Two names are one stream when their text is equal, however it was escaped on the wire. How long a name may be is
/// a setting (`limits.name`) that the decoder holds.
///
/// ```
/// # use msgstream::ids::StreamName;
/// let name = StreamName::new("job-1")?;
/// assert_eq!(name.as_str(), "job-1");
/// assert!(name.is_same(&name.clone()));
/// assert!(!name.is_same(&StreamName::new("job-1")?), "equal, and stored twice");
/// assert!(StreamName::new("$stats")?.is_reserved());
/// # Ok::<(), msgstream::ids::EmptyName>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<str>);

/// A stream name was empty.
///
/// ```
/// # use msgstream::ids::{EmptyName, StreamName};
/// assert_eq!(StreamName::new(""), Err(EmptyName));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stream name needs at least one character")]
pub struct EmptyName;

impl StreamName {
    /// Takes a name over.
    ///
    /// # Errors
    /// [`EmptyName`] if it has no character.
    pub fn new(name: &str) -> Result<Self, EmptyName> {
        if name.is_empty() {
            return Err(EmptyName);
        }
        Ok(Self(Arc::from(name)))
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name is one of the broker's own (it begins with `$`): clients may listen to it, not write to it.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }

    /// Whether both are the same allocation, which is quicker to see than equal text.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One client's connection, as the core and the actor know it.
///
/// Ids are dense and reused: the id of a connection that has ended is given to a later one, but only after the actor
/// has seen the end.
///
/// ```
/// # use msgstream::ids::ConnectionId;
/// assert_eq!(ConnectionId(7).index(), 7);
/// assert_eq!(ConnectionId(7).to_string(), "7");
/// ```
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
