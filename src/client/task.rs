//! The task behind a client: connects, and connects again.

use std::sync::Arc;

use tokio::time::sleep;

use crate::wire::subscriber::Event;

use super::address::ByteStream;
use super::connection::Connection;
use super::exchange::{End, Exchange};
use super::shared::Shared;

/// What the task serves. Dropped before its end, with its runtime or by a panic, it leaves nobody waiting.
pub(super) struct Served(pub(super) Arc<Shared>);

impl Drop for Served {
    fn drop(&mut self) {
        if self.0.lock().over.is_none() {
            let why = "the runtime of this client has ended".to_owned();
            self.0.end(&Event::Lost { reason: why.clone() }, &why);
        }
    }
}

/// Serves a client until it leaves or its connection is lost for good. `connected` is the first connection; without one
/// it is made here.
pub(super) async fn run(served: Served, connected: Option<Box<dyn ByteStream>>) {
    let shared = &*served.0;
    let mut next = connected;
    let mut attempt = 0;
    // Why the previous connection was lost.
    let mut lost: Option<String> = None;
    loop {
        let transport = match next.take() {
            Some(transport) => transport,
            None => match connect_again(shared, &mut attempt).await {
                Ok(transport) => transport,
                Err(reason) => return shared.end(&Event::Lost { reason: reason.clone() }, &reason),
            },
        };
        shared.lock().connected(lost.take());
        let mut exchange = Exchange::new(shared, transport);
        let end = exchange.run().await;
        // Who is cut off for being slow is not to be back at once, however much that connection has brought.
        let has_moved = shared.lock().take_moved() && matches!(end, End::Failed(_));
        let (last, why) = match end {
            End::Left => {
                let why = "this client has disconnected".to_owned();
                return shared.end(&Event::Lost { reason: why.clone() }, &why);
            }
            End::Told(reason) => {
                let why = reason.to_string();
                // The client would make the same mistake again.
                if reason.is_auth() || reason.is_denied() || matches!(&*reason.code, "not_json" | "too_many_errors") {
                    return shared.end(&Event::CutOff(reason), &why);
                }
                (Event::CutOff(reason), why)
            }
            End::Failed(reason) => (Event::Lost { reason: reason.clone() }, reason),
        };
        let Some(backoff) = &shared.options.reconnect else { return shared.end(&last, &why) };
        shared.stands(Connection::Away { reason: why.clone() });
        tracing::debug!(address = %shared.address, reason = why, "connection lost; connecting again");
        if exchange.was_answered {
            attempt = if has_moved { 0 } else { backoff.attempt_after(attempt, exchange.lasted()) };
        }
        // A pause, since the broker may be turning connections away, or may have just lost a thousand of them.
        let Some(pause) = backoff.pause(attempt, fastrand::f64()) else { return shared.end(&last, &why) };
        attempt += 1;
        if exchange.was_answered {
            // Also if the last handle is gone: what is queued is worth another connection.
            sleep(pause).await;
        } else if !shared.pause(pause).await {
            return shared.end(&last, &why);
        }
        lost = Some(why);
    }
}

/// Tries until it is connected, or the attempts are used up, or the last handle is gone.
async fn connect_again(shared: &Shared, attempt: &mut u32) -> Result<Box<dyn ByteStream>, String> {
    loop {
        let reason = match shared.connect().await {
            Ok(transport) => return Ok(transport),
            Err(error) => error.to_string(),
        };
        let pause = shared.options.reconnect.as_ref().and_then(|backoff| backoff.pause(*attempt, fastrand::f64()));
        let Some(pause) = pause else { return Err(format!("cannot connect to {}: {reason}", shared.address)) };
        *attempt += 1;
        shared.stands(Connection::Away { reason: format!("cannot connect to {}: {reason}", shared.address) });
        if !shared.pause(pause).await {
            return Err(format!("gave up connecting to {}: {reason}", shared.address));
        }
    }
}
