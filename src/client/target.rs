//! Who takes the events of a stream.

use std::sync::Arc;

use crate::wire::subscriber::{Event, Joined, Take};

use super::gathered::Gathered;
use super::inbox::Inbox;

/// A listener of one stream.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// One that has named the stream.
    Named(Arc<Inbox>),
    /// One that listens to a prefix of its name.
    ByPrefix(Arc<Gathered>, Arc<str>),
}

impl Target {
    pub(super) fn is_named(&self) -> bool {
        matches!(self, Self::Named(_))
    }

    /// Whether it listens by this prefix listener.
    pub(super) fn is_by(&self, gathered: &Arc<Gathered>) -> bool {
        matches!(self, Self::ByPrefix(other, _) if Arc::ptr_eq(other, gathered))
    }
}

impl Take for Target {
    fn take(&self, event: Event) -> bool {
        match self {
            Self::Named(inbox) => inbox.push(event),
            Self::ByPrefix(gathered, stream) => gathered.push(stream, event),
        }
    }

    fn joined(&self, joined: Joined) {
        match self {
            Self::Named(inbox) => inbox.join(joined),
            Self::ByPrefix(gathered, stream) => gathered.join(stream, joined),
        }
    }
}
