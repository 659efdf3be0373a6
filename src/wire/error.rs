//! The mistakes that a client can make, and their codes on the wire.

use std::fmt;

use super::action::ReceiptId;
#[cfg(feature = "broker")]
use super::ids::StreamName;

/// The kind of mistake that caused an error or closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Not one JSON object, not UTF-8, NaN or Infinity, a key given twice.
    BadJson,
    /// The action is missing, unknown or not a string.
    BadAction,
    /// The action needs a stream.
    MissingStream,
    /// The stream is not a non-empty string, or longer than allowed.
    BadStream,
    /// The action needs a message.
    MissingMessage,
    /// Over the line limit.
    LineTooLong,
    /// Over another limit; the reason names it and its setting.
    Limit,
    /// Not allowed to this client.
    Denied,
    /// The client has to say who it is, and has not. Closes.
    AuthRequired,
    /// What the client has shown lets nobody in, or no more. Closes.
    AuthFailed,
    /// The stream is not as the action says that it has to be: nothing happened.
    Stale,
    /// The connection began with something that is not this protocol. Closes.
    NotJson,
    /// Too many bad lines in a row. Closes.
    TooManyErrors,
    /// The listener did not take what was queued for it. Closes.
    SlowListener,
    /// Another connection has taken the session over. Closes.
    TakenOver,
    /// The broker stops. Closes.
    Shutdown,
}

impl ErrorCode {
    /// Every code.
    #[cfg(feature = "broker")]
    pub(crate) const ALL: [Self; 16] = [
        Self::BadJson,
        Self::BadAction,
        Self::MissingStream,
        Self::BadStream,
        Self::MissingMessage,
        Self::LineTooLong,
        Self::Limit,
        Self::Denied,
        Self::AuthRequired,
        Self::AuthFailed,
        Self::Stale,
        Self::NotJson,
        Self::TooManyErrors,
        Self::SlowListener,
        Self::TakenOver,
        Self::Shutdown,
    ];

    /// Its place among all.
    #[cfg(feature = "broker")]
    pub(crate) fn index(self) -> usize {
        // The codes have no numbers of their own, so that they stand in the order of their list.
        self as usize
    }

    /// The code on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::BadAction => "bad_action",
            Self::MissingStream => "missing_stream",
            Self::BadStream => "bad_stream",
            Self::MissingMessage => "missing_message",
            Self::LineTooLong => "line_too_long",
            Self::Limit => "limit",
            Self::Denied => "denied",
            Self::AuthRequired => "auth_required",
            Self::AuthFailed => "auth_failed",
            Self::Stale => "stale",
            Self::NotJson => "not_json",
            Self::TooManyErrors => "too_many_errors",
            Self::SlowListener => "slow_listener",
            Self::TakenOver => "taken_over",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A unit that could not be taken as an action. It is answered, and the connection goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What kind.
    pub code: ErrorCode,
    /// What was wrong, and what would be right.
    pub reason: String,
    /// The stream it was about, where it could be read.
    pub stream: Option<String>,
    /// The receipt it carried, where it could be read.
    pub receipt: Option<ReceiptId>,
}

impl Mistake {
    /// A mistake whose stream and receipt are unknown.
    pub fn new(code: ErrorCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), stream: None, receipt: None }
    }

    /// The same mistake, of an action on this stream.
    #[cfg(feature = "broker")]
    pub(crate) fn on(self, stream: &StreamName, receipt: Option<&ReceiptId>) -> Self {
        Self { stream: Some(stream.as_str().to_owned()), receipt: receipt.cloned(), ..self }
    }
}

#[cfg(all(test, feature = "broker"))]
mod tests {
    use super::ErrorCode;

    #[test]
    fn each_code_stands_at_its_place() {
        for (index, code) in ErrorCode::ALL.into_iter().enumerate() {
            assert_eq!(code.index(), index, "{code}");
        }
        assert_eq!(ErrorCode::ALL.len(), ErrorCode::Shutdown.index() + 1);
    }
}
