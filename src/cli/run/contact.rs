//! Tells on standard error how it stands with the broker, as soon as it is known.

use tokio::sync::watch::Receiver;
use tokio::time::{Duration, timeout};

use crate::cli::standard::say;
use crate::client::Contact;

/// How long a broker may take for its first answer before that is told.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// Says when the broker cannot be reached, and when it can again. Never ends. `kept` is how much waits for it meanwhile.
pub(super) async fn tell(mut contact: Receiver<Contact>, address: String, kept: String) {
    let goes_on = format!("the job goes on, and what it says is kept up to {kept}");
    if timeout(FIRST_ANSWER, contact.wait_for(|contact| *contact != Contact::Unknown)).await.is_err() {
        say(format_args!("the broker at {address} does not answer; {goes_on}"));
    }
    let mut was_away = false;
    loop {
        // The attempts that fail later have nothing new to say.
        let now = contact.borrow_and_update().clone();
        match now {
            Contact::Away(why) if !was_away => {
                was_away = true;
                say(format_args!("the broker at {address} cannot be reached: {why}; {goes_on}"));
            }
            Contact::Answered if was_away => {
                was_away = false;
                say(format_args!("the broker at {address} is reached"));
            }
            Contact::Away(_) | Contact::Answered | Contact::Unknown => {}
        }
        if contact.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}
