//! What reading once gives.

use std::io;

use crate::broker::core::Input;

use super::batch::Whole;
use super::mistake_log::Told;

/// What reading once gave.
#[derive(Debug)]
pub(super) struct Read {
    /// For the core.
    pub(super) inputs: Vec<Input>,
    /// The memory that the inputs take, in bytes.
    pub(super) memory: usize,
    /// How many units were refused.
    pub(super) mistakes: u64,
    /// What was said about the first.
    pub(super) first_mistake: Option<Box<Told>>,
    /// Whether more may come.
    pub(super) next: After,
}

/// What there is to do after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// More may come; whether the read was as large as it could be, so that more stands there already.
    More {
        /// It was.
        full: bool,
    },
    /// More has come and is yet to be decoded.
    Backlog,
    /// Nothing had come.
    Nothing,
    /// The client has left or is turned away; the core has been told.
    Left,
    /// The peer is gone without an orderly end: what it had begun to say does not count.
    Gone,
}

impl Read {
    /// One that failed.
    pub(super) fn failed(error: &io::Error) -> Self {
        let next = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => After::Nothing,
            _ => After::Gone,
        };
        Self { inputs: Vec::new(), memory: 0, mistakes: 0, first_mistake: None, next }
    }
}

/// The same once the block is decoded.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) read: Read,
    /// How many bytes of the block are done with.
    pub(super) consumed: usize,
    /// The run that is all of the block, if there is one. It is not among the inputs yet.
    pub(super) whole: Option<Whole>,
}
