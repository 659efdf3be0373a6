//! The exit codes, after sysexits(3), so that a supervisor can tell what a restart may cure.

use std::io;
use std::process::ExitCode;

use crate::client::{ClientError, Reason};
use crate::wire::refusal::AUTH_REQUIRED;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Fine,
    /// What was checked does not hold: a benchmark lost a message, or could not run; a job has failed; there is no header.
    Failed,
    /// A job was aborted.
    Aborted,
    /// A job is lost.
    Lost,
    /// The command line cannot be understood.
    Usage,
    /// What was to be sent is not JSON.
    Data,
    /// An address cannot be listened on: it is taken, or not this machine's. A broker cannot be reached, or is gone.
    Unavailable,
    /// The broker itself failed.
    Internal,
    /// A job of this name is running.
    Occupied,
    /// A file cannot be written, or the system refused a thread or a signal handler.
    Io,
    /// The broker refused what was asked.
    Refused,
    /// The configuration cannot be used.
    Config,
    /// The time was up; the same code as timeout(1).
    Timeout,
    /// Ctrl-C, here or at the command that was run: the code that shells give to it.
    Interrupted,
    /// The exit code of the command that was run.
    Status(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Fine => 0,
            Exit::Failed => 1,
            Exit::Aborted => 2,
            Exit::Lost => 3,
            Exit::Usage => 64,
            Exit::Data => 65,
            Exit::Unavailable => 69,
            Exit::Internal => 70,
            Exit::Occupied => 73,
            Exit::Io => 74,
            Exit::Refused => 77,
            Exit::Config => 78,
            Exit::Timeout => 124,
            Exit::Interrupted => 130,
            Exit::Status(status) => status,
        })
    }
}

/// How a subcommand ends: with an exit code and nothing more to say, or with a failure.
pub(crate) type Outcome = Result<Exit, Failure>;

/// An error and the exit code that it leads to.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) error: anyhow::Error,
}

/// Gives an error its exit code.
pub(crate) trait OrExit<T> {
    fn or_exit(self, exit: Exit) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> Result<T, Failure> {
        self.map_err(|error| Failure { exit, error: error.into() })
    }
}

impl Failure {
    pub(crate) fn new(exit: Exit, reason: impl Into<String>) -> Self {
        Self { exit, error: anyhow::Error::msg(reason.into()) }
    }

    /// A listener of this was cut off, which says nothing of what goes on there.
    pub(crate) fn cut_off(what: &str, reason: &Reason) -> Self {
        // Nothing was cut off that had not begun.
        if reason.is_auth() || reason.is_denied() {
            return ClientError::from(reason.clone()).into();
        }
        let exit = if reason.is_refusal() { Exit::Refused } else { Exit::Unavailable };
        Self::new(exit, format!("{what} was cut off: {reason}; it may go on"))
    }

    /// The connection was lost.
    pub(crate) fn lost(reason: &str) -> Self {
        Self::new(Exit::Unavailable, format!("the connection to the broker was lost: {reason}"))
    }
}

/// What helps somebody who is not let in.
const TOKEN_CURE: &str = "set MSGSTREAM_TOKEN, or name a file that holds the token with --token-file";

/// What the library says, without the names that things have in the code of programs, and without what a line of the protocol looks like.
pub(crate) fn for_people(told: &str) -> String {
    let names = [
        ", TlsOptions::ca",
        ", TlsOptions::certificate",
        ", TlsOptions::key",
        " (Options::token)",
        " (Options::queue)",
        "Options::longest_action, ",
    ];
    let told = told.replace(AUTH_REQUIRED, "this broker lets in who has a token");
    names.iter().fold(told, |told, name| told.replace(name, ""))
}

/// Errors of a client have their own exit codes.
impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            // A file of certificates that cannot be used.
            ClientError::Connect { kind: io::ErrorKind::InvalidInput, .. } => Exit::Config,
            ClientError::Connect { .. } | ClientError::Lost(_) | ClientError::Full => Exit::Unavailable,
            ClientError::Refused(_) | ClientError::Denied(_) | ClientError::AuthFailed(_) | ClientError::Stale(_) => Exit::Refused,
            ClientError::Encode(_) | ClientError::TooLong { .. } => Exit::Data,
            ClientError::EmptyName => Exit::Usage,
        };
        let cure = match &error {
            ClientError::Connect { kind: io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound, .. } => {
                "start a broker there with \"msgstream serve\", or name another with --server or MSGSTREAM_SERVER"
            }
            ClientError::Connect { kind, .. } if *kind != io::ErrorKind::InvalidInput => {
                "name another broker with --server or MSGSTREAM_SERVER"
            }
            ClientError::AuthFailed(reason) => {
                let why = for_people(&reason.reason);
                return Self::new(exit, format!("the broker does not let this client in: {why} ({}); {TOKEN_CURE}", reason.code));
            }
            _ => return Self { exit, error: error.into() },
        };
        Self::new(exit, format!("{error}; {cure}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_cut_off_is_told_whether_trying_again_may_help() {
        for (code, exit, part) in [
            ("shutdown", Exit::Unavailable, "\"job\" was cut off: why (shutdown); it may go on"),
            ("slow_listener", Exit::Unavailable, "it may go on"),
            ("limit", Exit::Unavailable, "\"job\" was cut off: why (limit)"),
            ("denied", Exit::Refused, "the broker refused: why (denied)"),
            ("bad_stream", Exit::Refused, "(bad_stream)"),
            ("auth_required", Exit::Refused, "set MSGSTREAM_TOKEN"),
            ("auth_failed", Exit::Refused, "set MSGSTREAM_TOKEN"),
        ] {
            let failure = Failure::cut_off("\"job\"", &Reason::new(code, "why"));
            let told = failure.error.to_string();
            assert_eq!(failure.exit, exit, "{told}");
            assert!(told.contains(part), "{told}");
        }
    }
}
