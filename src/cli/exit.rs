//! The exit codes, after sysexits(3), so that a supervisor can tell what a restart may cure.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Fine,
    /// What was checked does not hold: a benchmark lost a message, or could not run.
    Failed,
    /// The command line cannot be understood.
    Usage,
    /// An address cannot be listened on: it is taken, or not this machine's.
    Unavailable,
    /// The broker itself failed.
    Internal,
    /// A file cannot be written, or the system refused a thread or a signal handler.
    Io,
    /// The configuration cannot be used.
    Config,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Fine => 0,
            Exit::Failed => 1,
            Exit::Usage => 64,
            Exit::Unavailable => 69,
            Exit::Internal => 70,
            Exit::Io => 74,
            Exit::Config => 78,
        })
    }
}

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
