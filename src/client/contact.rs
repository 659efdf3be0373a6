//! Whether a client is in contact with its broker.

/// What is known of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "only the program reads it"))]
pub(crate) enum Contact {
    /// The first connection is being made, or has not been answered yet.
    Unknown,
    /// It has answered on the present connection.
    Answered,
    /// There is no connection, for this reason. Another may be tried.
    Away(String),
}
