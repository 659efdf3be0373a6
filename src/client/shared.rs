//! What a client's handles, its listeners and its task share.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::wire::subscriber::Event;

use super::address::{ByteStream, Connector};
use super::connection::Connection;
use super::options::Options;
use super::state::State;

/// What handles, listeners and the task share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) address: Box<dyn Connector>,
    pub(super) options: Options,
    state: Mutex<State>,
    /// Something is to be written, or nobody holds a handle any more.
    pub(super) work: Notify,
    /// There is room again, or never will be.
    pub(super) room: Notify,
    /// How the connection stands.
    pub(super) connection: watch::Sender<Connection>,
}

/// Makes a connection in this time, of which each address has an equal share, to the first that answers. The error, of the last one, is for
/// people.
pub(super) async fn connect_within(time: Duration, addresses: &dyn Connector) -> io::Result<Box<dyn ByteStream>> {
    let mut left = addresses.addresses();
    let share = time / u32::try_from(left.max(1)).unwrap_or(u32::MAX);
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {share:?}"));
    loop {
        left = left.saturating_sub(1);
        match timeout(share, addresses.connect()).await.map_err(late).flatten() {
            Err(_) if left > 0 => {}
            last => return last,
        }
    }
}

impl Shared {
    pub(super) fn new(address: impl Connector, options: Options) -> Arc<Self> {
        let address = Box::new(address);
        let state = Mutex::new(State::new(&options));
        Arc::new(Self { address, options, state, work: Notify::new(), room: Notify::new(), connection: watch::Sender::default() })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Only a listener's waker could panic under the lock, and that belongs to the runtime.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a connection in the time there is for it. The error is for people.
    pub(super) async fn connect(&self) -> io::Result<Box<dyn ByteStream>> {
        connect_within(self.options.connect_time, &*self.address).await
    }

    /// Waits. False if nobody holds a handle any more, so that there is nothing to wait for.
    pub(super) async fn pause(&self, pause: Duration) -> bool {
        let deadline = Instant::now() + pause;
        loop {
            if self.lock().leaving {
                return false;
            }
            tokio::select! {
                biased;
                () = sleep_until(deadline) => return true,
                () = self.work.notified() => {}
            }
        }
    }

    /// Tells those who watch how the connection stands, if that is news.
    pub(super) fn stands(&self, now: Connection) {
        self.connection.send_if_modified(|before| {
            let is_news = *before != now;
            *before = now;
            is_news
        });
    }

    /// The connection has ended for good: everybody who waits is told.
    pub(super) fn end(&self, last: &Event, why: &str) {
        self.stands(Connection::Over { reason: why.to_owned() });
        self.lock().end(last, why);
        self.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::future::pending;

    use super::*;
    use crate::client::address::Connecting;

    /// Addresses where nobody answers.
    #[derive(Debug)]
    struct Silent(usize);

    impl fmt::Display for Silent {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("silent")
        }
    }

    impl Connector for Silent {
        fn connect(&self) -> Connecting<'_> {
            Box::pin(pending())
        }

        fn addresses(&self) -> usize {
            self.0
        }
    }

    // Seen to fail: each address had the whole time, so that two took twice as long as was allowed.
    #[tokio::test(start_paused = true)]
    async fn however_many_addresses_there_are_the_time_is_the_same() {
        for addresses in 1..=4 {
            let began = Instant::now();
            let failed = connect_within(Duration::from_secs(8), &Silent(addresses)).await.err();
            assert_eq!((failed.map(|error| error.kind()), began.elapsed().as_secs()), (Some(io::ErrorKind::TimedOut), 8), "{addresses}");
        }
    }
}
