//! What is known beside of what all nodes of a space have in common. [`shared`](super::shared) says what follows from it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::wire::ids::StreamName;

/// What the core knows beside, as one of several nodes.
#[derive(Debug)]
pub(super) struct Shared {
    /// Names the log.
    pub(super) log: u64,
    /// What this node is called.
    pub(super) node: Box<str>,
    /// The record that is being applied, ...
    pub(super) sequence: u64,
    /// ... and what of it.
    pub(super) step: u32,
    /// What is done is in the log, so that it must not depend on anything else.
    pub(super) applying: bool,
    pub(super) remember_time: Duration,
    /// The streams without a header by the second in which something was last done to them, or an earlier one.
    pub(super) fleeting: BTreeSet<(u32, StreamName)>,
    /// How many streams there are on all nodes.
    pub(super) streams: usize,
    /// The streams whose number of listeners has changed since the other nodes were told.
    pub(super) counted: BTreeSet<StreamName>,
}

/// How many listen to a stream, by the names of the nodes. Those where nobody does are left out.
pub type Elsewhere = Box<[(Box<str>, u32)]>;

/// What is known beside of a stream that all nodes have.
#[derive(Debug, Default)]
pub(super) struct Common {
    /// In which second something was last done to it, in time in which somebody could write.
    pub(super) touched: u32,
    /// Under which second it stands among the fleeting ones, if it does.
    pub(super) listed: Option<u32>,
    /// How many listen on other nodes, as was last heard.
    pub(super) elsewhere: Elsewhere,
    /// The others may have been told that somebody listens here.
    pub(super) is_told: bool,
    /// For all other nodes it is not there. It is here because somebody listens.
    pub(super) is_over: bool,
}
