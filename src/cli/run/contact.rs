//! Tells on standard error how it stands with the broker, as soon as it is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch::Receiver;
use tokio::task::JoinHandle;
use tokio::time::{Duration, timeout};

use crate::cli::standard::say;
use crate::client::{ClientError, Connection, RemoteStream};

/// How long a broker may take for its first answer before that is told.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// Follows the connection while the command runs.
pub(super) struct Contact {
    /// The broker has answered: when it is away, it may come back.
    was_reached: Arc<AtomicBool>,
    telling: Vec<JoinHandle<()>>,
}

impl Contact {
    /// `kept` is how much waits for a broker that is away.
    pub(super) fn new(remote: &RemoteStream, address: String, kept: String) -> Self {
        let was_reached = Arc::new(AtomicBool::new(false));
        let telling = vec![tokio::spawn(tell(remote.connection(), address, kept, Arc::clone(&was_reached)))];
        Self { was_reached, telling }
    }

    /// Says if the broker refuses what was sent so far: a name that is not for jobs, for instance.
    pub(super) fn tell_refusal(&mut self, remote: RemoteStream) {
        self.telling.push(tokio::spawn(async move {
            // What ends the connection is told where that is.
            let refused = remote.flush().await.err().filter(|error| !matches!(error, ClientError::Lost(_) | ClientError::AuthFailed(_)));
            if let Some(error) = refused {
                let reason = match &error {
                    ClientError::Refused(reason) | ClientError::Denied(reason) | ClientError::Stale(reason) => reason.to_string(),
                    error => error.to_string(),
                };
                say(format_args!("the broker refuses this job: {reason}; the command goes on"));
            }
        }));
    }

    pub(super) fn was_reached(&self) -> bool {
        self.was_reached.load(Ordering::Relaxed)
    }

    /// Says no more.
    pub(super) fn leave(&self) {
        self.telling.iter().for_each(JoinHandle::abort);
    }
}

/// Says when the broker cannot be reached, and when it can again. Never ends.
async fn tell(mut connection: Receiver<Connection>, address: String, kept: String, was_reached: Arc<AtomicBool>) {
    let goes_on = format!("the job goes on, and up to {kept} of its output is kept");
    if timeout(FIRST_ANSWER, connection.wait_for(|now| *now != Connection::Connecting)).await.is_err() {
        say(format_args!("the broker at {address} does not answer; {goes_on}"));
    }
    let mut was_away = false;
    loop {
        // The attempts that fail later have nothing new to say.
        let now = connection.borrow_and_update().clone();
        match now {
            Connection::Over { reason } => {
                say(format_args!("nothing more goes to the broker at {address}: {}; the command goes on", why(&reason, &address)));
                return std::future::pending().await;
            }
            Connection::Away { reason } if !was_away => {
                was_away = true;
                say(format_args!("the broker at {address} cannot be reached: {}; {goes_on}", why(&reason, &address)));
            }
            Connection::Connected => {
                was_reached.store(true, Ordering::Relaxed);
                if std::mem::take(&mut was_away) {
                    say(format_args!("connected to the broker at {address}"));
                }
            }
            Connection::Connecting | Connection::Away { .. } => {}
        }
        if connection.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// The reason, without the address, which is told already.
pub(super) fn why<'a>(reason: &'a str, address: &str) -> &'a str {
    reason.strip_prefix(&format!("cannot connect to {address}: ")).unwrap_or(reason)
}
