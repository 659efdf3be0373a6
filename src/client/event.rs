//! What a listener sees, and what goes wrong.

use crate::content::{Content, EncodeError};

use super::wire::Reason;

/// What a listener of one stream sees.
///
/// After [`Ended`](Self::Ended), [`CutOff`](Self::CutOff) and [`Lost`](Self::Lost) nothing more comes.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The stream's header, as it stood when this listener joined, or joined again.
    Header(Content),
    /// A message. None is missing between one and the next.
    Message(Content),
    /// The stream has ended.
    Ended {
        /// The last message, if one came along.
        message: Option<Content>,
    },
    /// This listener was cut off: by the broker, which refused it, stops, or found it too slow; or by this client, whose
    /// own queue for it was full. The stream may go on.
    CutOff(Reason),
    /// The connection failed. The stream may go on.
    Lost {
        /// What was seen of the failure.
        reason: String,
    },
    /// The connection had failed, and there is a new one: messages may be missing here. The header follows, if there is one.
    Reconnected {
        /// What ended the connection before.
        reason: String,
    },
}

impl Event {
    /// Whether nothing more comes after it.
    pub fn is_last(&self) -> bool {
        match self {
            Self::Ended { .. } | Self::CutOff(_) | Self::Lost { .. } => true,
            Self::Header(_) | Self::Message(_) | Self::Reconnected { .. } => false,
        }
    }

    /// About what it takes in memory, in bytes.
    pub(crate) fn cost(&self) -> usize {
        let text = match self {
            Self::Header(content) | Self::Message(content) | Self::Ended { message: Some(content) } => content.as_str().len(),
            Self::Ended { message: None } => 0,
            Self::CutOff(reason) => reason.reason.len(),
            Self::Lost { reason } | Self::Reconnected { reason } => reason.len(),
        };
        text + size_of::<Self>() + 32
    }
}

/// What a client can fail with.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection could be made.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Where to.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The connection was lost, and with it perhaps what had not been confirmed.
    #[error("the connection to the broker was lost: {0}")]
    Lost(String),
    /// The broker refused an action.
    #[error("the broker refused: {0}")]
    Refused(Reason),
    /// A message cannot be written as JSON.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A stream needs a name.
    #[error("a stream name needs at least one character")]
    EmptyName,
    /// There is no room in the queue now, and the call was not to wait.
    #[error("the queue of what is to be sent is full")]
    Full,
}
