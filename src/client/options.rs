//! How a client behaves.

use std::time::Duration;

use crate::job::content::NonFinite;
use crate::wire::units::ByteSize;
use crate::wire::{Token, setters};

#[cfg(feature = "tls")]
use super::tls::TlsOptions;

/// How a [`RemoteStream`](super::RemoteStream) behaves.
///
/// ```
/// # use msgstream::client::{Backoff, Options};
/// let options = Options::default().reconnect(Backoff::default());
/// assert_eq!(options.connect_time.as_secs(), 10);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// Whether and how to reconnect after the connection was lost. Default: none, so a lost connection is the end.
    pub reconnect: Option<Backoff>,
    /// Whether to hold a session with the broker, so that after a reconnect nothing that was published is lost or arrives twice. It needs
    /// [`reconnect`](Self::reconnect), and costs the broker half a kilobyte. A client that only listens needs none. Default: yes.
    pub session: bool,
    /// What the client says who it is with, first on each connection. A broker that knows no tokens ignores it; to one from before there
    /// were any it is a mistake. Default: none.
    pub token: Option<Token>,
    /// How long an attempt to connect may take. Several addresses have equal shares of it. Default: 10 s.
    pub connect_time: Duration,
    /// When nothing has come from the broker for this time, the client sends a ping. Default: 20 s.
    pub idle_time: Duration,
    /// How long the broker may take to answer before the connection counts as lost. By default 45 s, which is longer than a broker
    /// holds a publisher back (its `outbox.throttle_time`, by default 30 s).
    pub answer_time: Duration,
    /// How much may wait to be sent or confirmed, in bytes; beyond that, publishing waits. Default: 4 MiB.
    pub queue: ByteSize,
    /// The longest action that is sent, in bytes of its line. By default 16 MiB, like a broker's `limits.line`, beyond which the broker
    /// refuses a line.
    pub longest_action: ByteSize,
    /// How much may wait for one listener in this program, in bytes; beyond that, the listener is cut off. Default: 64 MiB.
    pub listener_queue: ByteSize,
    /// The longest line that is accepted from the broker, in bytes. A longer line does not come from a broker, and could exhaust the
    /// memory. By default 128 MiB: enough for a broker's longest line (`limits.line`, by default 16 MiB) translated from MessagePack.
    pub longest_line: ByteSize,
    /// How NaN and infinities are encoded. By default they are refused.
    pub non_finite: NonFinite,
    /// Certificates for `tls://` addresses. Default: the broker's is to be signed by an authority that the system knows, and the client
    /// shows none.
    #[cfg(feature = "tls")]
    pub tls: TlsOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            reconnect: None,
            session: true,
            token: None,
            connect_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(20),
            answer_time: Duration::from_secs(45),
            queue: ByteSize(4 << 20),
            longest_action: ByteSize(16 << 20),
            listener_queue: ByteSize(64 << 20),
            longest_line: ByteSize(128 << 20),
            non_finite: NonFinite::default(),
            #[cfg(feature = "tls")]
            tls: TlsOptions::default(),
        }
    }
}

setters! {
    "std::time::Duration; use msgstream::{client::*, job::NonFinite, units::ByteSize}";
    Options {
        reconnect: impl Into<Option<Backoff>>, "Backoff::default()";
        session: bool, "false";
        token: impl Into<Option<Token>>, "Token::new(\"mst_0123456789abcdef\").unwrap()";
        connect_time: Duration, "Duration::from_secs(3)";
        idle_time: Duration, "Duration::from_secs(60)";
        answer_time: Duration, "Duration::from_secs(60)";
        queue: ByteSize, "ByteSize(1 << 20)";
        longest_action: ByteSize, "ByteSize(1 << 20)";
        listener_queue: ByteSize, "ByteSize(1 << 20)";
        longest_line: ByteSize, "ByteSize(1 << 20)";
        non_finite: NonFinite, "NonFinite::Null";
    }
}

#[cfg(feature = "tls")]
setters! {
    "msgstream::client::*";
    Options {
        tls: TlsOptions, "TlsOptions::default().ca(\"group-ca.pem\".into())";
    }
}

setters! {
    "std::time::Duration; use msgstream::client::*";
    Backoff {
        first: Duration, "Duration::from_secs(1)";
        longest: Duration, "Duration::from_secs(30)";
        attempts: impl Into<Option<u32>>, "120";
    }
}

/// The pauses between attempts to connect. Each is twice as long as the one before, with a random part, so that a thousand clients
/// of a broker that restarts do not all reconnect at once.
///
/// ```
/// # use std::time::Duration;
/// # use msgstream::client::{Backoff, Options};
/// // Soon at first, then about every half minute; given up after 120 attempts.
/// let patient = Backoff::default().longest(Duration::from_secs(30)).attempts(120);
/// let options = Options::default().reconnect(patient);
/// assert_eq!(Backoff::default().first, Duration::from_millis(100));
/// assert_eq!(Backoff::default().attempts, None);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Backoff {
    /// The first pause. Default: 100 ms.
    pub first: Duration,
    /// The longest pause. Default: 10 s.
    pub longest: Duration,
    /// The number of failed attempts in a row after which the client gives up. Default: none, so never.
    pub attempts: Option<u32>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(10), attempts: None }
    }
}

/// A connection that has lasted as long as so many first pauses was a good one, however long the pause before it was. So was one that has
/// brought its client further: a listener that waited longer and longer would have more and more to catch up with each time.
const LASTING: u32 = 10;

impl Backoff {
    /// The number of the next attempt after a connection that has lasted so long, where `attempt` pauses in a row were made. One that is
    /// broken off again and again as soon as it stands is no better than none. One that has lasted longer than the pause before it was
    /// worth it: on a network that breaks every second, a listener would otherwise be away for longer than it is there.
    pub(super) fn attempt_after(&self, attempt: u32, lasted: Duration) -> u32 {
        let enough = self.doubled(attempt.saturating_sub(1)).min(self.first.saturating_mul(LASTING));
        if lasted >= enough { 0 } else { attempt }
    }

    /// The full pause before the given attempt, counted from 0.
    fn doubled(&self, attempt: u32) -> Duration {
        self.first.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX)).min(self.longest)
    }

    /// The pause before the given attempt, counted from 0, or none if there is to be no such attempt. `random` is from 0 to 1.
    pub(super) fn pause(&self, attempt: u32, random: f64) -> Option<Duration> {
        if self.attempts.is_some_and(|most| attempt >= most) {
            return None;
        }
        // Never less than half of the full pause.
        Some(self.doubled(attempt).mul_f64(0.5 + random / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_that_has_lasted_ends_the_search_for_one() {
        let after = |attempt, lasted| Backoff::default().attempt_after(attempt, Duration::from_millis(lasted));
        // Longer than the pause before it, or for long enough.
        assert_eq!([99, 100].map(|lasted| after(1, lasted)), [1, 0]);
        assert_eq!([399, 400].map(|lasted| after(3, lasted)), [3, 0]);
        assert_eq!([999, 1000].map(|lasted| after(5, lasted)), [5, 0]);
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_are_jittered() {
        let backoff = Backoff::default().attempts(40);
        let most = |attempt| backoff.pause(attempt, 1.0).map(|pause| pause.as_millis());
        assert_eq!([0, 1, 2, 6, 7, 31, 39].map(most), [100, 200, 400, 6400, 10_000, 10_000, 10_000].map(Some));
        assert_eq!(most(40), None);
        assert_eq!(backoff.pause(1, 0.0), Some(Duration::from_millis(100)));
    }
}
