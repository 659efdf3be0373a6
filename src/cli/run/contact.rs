//! Tells on standard error how it stands with the broker, as soon as it is known.

use tokio::sync::watch::Receiver;
use tokio::time::{Duration, timeout};

use crate::cli::standard::say;
use crate::client::Connection;

/// How long a broker may take for its first answer before that is told.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// Says when the broker cannot be reached, and when it can again. Never ends. `kept` is how much waits for it meanwhile.
pub(super) async fn tell(mut connection: Receiver<Connection>, address: String, kept: String) {
    let goes_on = format!("the job goes on, and up to {kept} of its output is kept");
    if timeout(FIRST_ANSWER, connection.wait_for(|now| *now != Connection::Connecting)).await.is_err() {
        say(format_args!("the broker at {address} does not answer; {goes_on}"));
    }
    let mut was_away = false;
    loop {
        // The attempts that fail later have nothing new to say.
        let now = connection.borrow_and_update().clone();
        match now {
            Connection::Away { reason } | Connection::Over { reason } if !was_away => {
                was_away = true;
                say(format_args!("the broker at {address} cannot be reached: {}; {goes_on}", why(&reason, &address)));
            }
            Connection::Connected if was_away => {
                was_away = false;
                say(format_args!("connected to the broker at {address}"));
            }
            _ => {}
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
