//! What a listener sees, and what goes wrong.

use crate::job::content::{Content, EncodeError};

use super::wire::Reason;

/// What a listener of one stream sees.
///
/// After [`Ended`](Self::Ended), [`CutOff`](Self::CutOff) and [`Lost`](Self::Lost) nothing more comes.
///
/// ```
/// # use msgstream::client::{Event, Reason};
/// fn shown(event: &Event) -> String {
///     match event {
///         Event::Header(content) => format!("stands at {content}"),
///         Event::Message(content) => content.to_string(),
///         Event::Ended { .. } => "the job has ended".to_owned(),
///         Event::CutOff(Reason { reason, .. }) | Event::Lost { reason } => format!("{reason}; the job may go on"),
///         Event::Reconnected { .. } => "messages may be missing here".to_owned(),
///     }
/// }
///
/// let lost = Event::Lost { reason: "end of file".to_owned() };
/// assert_eq!(shown(&lost), "end of file; the job may go on");
/// assert!(lost.is_last());
/// assert!(!Event::Reconnected { reason: "end of file".to_owned() }.is_last());
/// ```
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
///
/// ```
/// use msgstream::client::{ClientError, RemoteStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = msgstream::broker::Server::bind(&["127.0.0.1:0".parse()?], &Default::default())?;
/// # let address = server.addresses()[0].to_string();
/// # tokio::spawn(server.run(std::future::pending(), std::future::pending()));
/// assert!(matches!(RemoteStream::connect("a broker somewhere").await, Err(ClientError::Connect { .. })));
///
/// let broker = RemoteStream::connect(&address).await?;
/// assert!(matches!(broker.put("", "hello").await, Err(ClientError::EmptyName)));
/// assert!(matches!(broker.put("job-1", &f64::NAN).await, Err(ClientError::Encode(_))));
/// // Names that begin with $ are the broker's own.
/// assert!(matches!(broker.confirmed().put("$job", "hello").await, Err(ClientError::Refused(reason)) if reason.code == "denied"));
/// # Ok(()) }
/// ```
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
