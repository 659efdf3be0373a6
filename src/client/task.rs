//! The task behind a client: connects, and connects again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::wire::subscriber::Event;

use super::address::{ServerAddress, Transport};
use super::options::Options;
use super::session::{End, Session};
use super::state::State;

/// What handles, listeners and the task share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) address: ServerAddress,
    pub(super) options: Options,
    state: Mutex<State>,
    /// Something is to be written, or nobody holds a handle any more.
    pub(super) work: Notify,
    /// There is room again, or never will be.
    pub(super) room: Notify,
}

impl Shared {
    pub(super) fn new(address: ServerAddress, options: Options) -> Arc<Self> {
        let state = Mutex::new(State::new(options.reconnect.is_some()));
        Arc::new(Self { address, options, state, work: Notify::new(), room: Notify::new() })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A listener's waker is all that could panic under the lock, and it is the runtime's.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a connection in the time there is for it. The error is for people.
    pub(super) async fn connect(&self) -> Result<Box<dyn Transport>, String> {
        match timeout(self.options.connect_time, self.address.connect()).await {
            Ok(connected) => connected.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {:?}", self.options.connect_time)),
        }
    }

    /// Waits. False if nobody holds a handle any more, so that there is nothing to wait for.
    async fn pause(&self, pause: Duration) -> bool {
        let deadline = Instant::now() + pause;
        loop {
            if self.lock().leaving {
                return false;
            }
            tokio::select! {
                () = sleep_until(deadline) => return true,
                () = self.work.notified() => {}
            }
        }
    }

    fn end(&self, last: &Event, why: &str) {
        self.lock().end(last, why);
        self.room.notify_waiters();
    }
}

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
pub(super) async fn run(served: Served, connected: Option<Box<dyn Transport>>) {
    let shared = &*served.0;
    let mut next = connected;
    let mut attempt = 0;
    // Why the connection before was lost.
    let mut lost: Option<String> = None;
    loop {
        let transport = match next.take() {
            Some(transport) => transport,
            None => match connect_again(shared, &mut attempt).await {
                Ok(transport) => transport,
                Err(reason) => return shared.end(&Event::Lost { reason: reason.clone() }, &reason),
            },
        };
        if let Some(why) = lost.take() {
            shared.lock().reconnected(&why);
        }
        let mut session = Session::new(shared, transport);
        let end = session.run().await;
        let (last, why) = match end {
            End::Left => {
                let why = "this client has left".to_owned();
                return shared.end(&Event::Lost { reason: why.clone() }, &why);
            }
            End::Told(reason) => {
                let why = reason.to_string();
                // What this client did wrong it would do wrong again.
                if matches!(&*reason.code, "not_json" | "too_many_errors" | "denied") {
                    return shared.end(&Event::CutOff(reason), &why);
                }
                (Event::CutOff(reason), why)
            }
            End::Failed(reason) => (Event::Lost { reason: reason.clone() }, reason),
        };
        let Some(backoff) = &shared.options.reconnect else { return shared.end(&last, &why) };
        tracing::debug!(address = %shared.address, reason = why, "connection lost; connecting again");
        if session.was_answered {
            attempt = 0;
        }
        // A broker that turns connections away, or has just lost a thousand, is not to be asked without a pause.
        let Some(pause) = backoff.pause(attempt, fastrand::f64()) else { return shared.end(&last, &why) };
        attempt += 1;
        if session.was_answered {
            // Also for one that nobody holds any more: what it has queued is worth another connection.
            sleep(pause).await;
        } else if !shared.pause(pause).await {
            return shared.end(&last, &why);
        }
        lost = Some(why);
    }
}

/// Tries until it is connected, or the attempts are used up, or nobody wants it any more.
async fn connect_again(shared: &Shared, attempt: &mut u32) -> Result<Box<dyn Transport>, String> {
    loop {
        let reason = match shared.connect().await {
            Ok(transport) => return Ok(transport),
            Err(reason) => reason,
        };
        let pause = shared.options.reconnect.as_ref().and_then(|backoff| backoff.pause(*attempt, fastrand::f64()));
        let Some(pause) = pause else { return Err(format!("cannot connect to {}: {reason}", shared.address)) };
        *attempt += 1;
        if !shared.pause(pause).await {
            return Err(format!("nobody waited any longer for {}: {reason}", shared.address));
        }
    }
}
