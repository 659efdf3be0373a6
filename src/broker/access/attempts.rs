//! Who tries to get in, and fails: how often that may be. Pure; bounded whatever comes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::time::Instant;

/// Where a connection comes from, as far as attempts are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 network of 64 bits: one machine has as many addresses in it as it likes.
    V6(u64),
    /// A user of this machine, by its number.
    User(u32),
    /// It cannot be told.
    Unknown,
}

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// So many failures are without consequence: a user's job that runs with an old token must not lock out who else works there.
const FREE: u32 = 10;
/// After this time one failure is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(10);
/// How long an address has to wait after a failure more than that; each further one doubles it, ...
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// ... up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// More failures make nothing longer, and need not be forgotten one by one.
const MOST_COUNTED: u32 = FREE + 5;
/// The most origins whose failures are remembered. What was longest without a failure goes first.
const MOST_ORIGINS: usize = 4096;

/// In a second, at most so many failures are logged one by one.
const LOGGED: u64 = 3;
const WINDOW: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    failures: HashMap<Origin, Failures>,
    /// When the window of the log began, and how many were logged in it.
    window: Option<(Instant, u64)>,
    unlogged: u64,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
    /// What comes before is refused without a look at it.
    closed_until: Instant,
}

impl Attempts {
    /// How long who comes from there has to wait, if so.
    pub(super) fn pause(&self, origin: Origin, now: Instant) -> Option<Duration> {
        let until = self.failures.get(&origin)?.closed_until;
        Some(until.duration_since(now)).filter(|pause| !pause.is_zero())
    }

    /// Somebody from there has failed.
    pub(super) fn failed(&mut self, origin: Origin, now: Instant) {
        let before = self.failures.get(&origin).copied().unwrap_or(Failures { count: 0, last: now, closed_until: now });
        let forgotten = now.duration_since(before.last).as_secs() / FORGOTTEN.as_secs();
        let count = (before.count.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX)) + 1).min(MOST_COUNTED);
        let pause = match count.checked_sub(FREE + 1) {
            Some(doublings) => FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE),
            None => Duration::ZERO,
        };
        if self.failures.len() >= MOST_ORIGINS && !self.failures.contains_key(&origin) {
            self.make_room();
        }
        self.failures.insert(origin, Failures { count, last: now, closed_until: now + pause });
    }

    fn make_room(&mut self) {
        let oldest = self.failures.iter().min_by_key(|(_, failures)| failures.last).map(|(origin, _)| *origin);
        if let Some(oldest) = oldest {
            self.failures.remove(&oldest);
        }
    }

    /// Whether a failure is to be logged, and how many were not since the last that was.
    pub(super) fn log(&mut self, now: Instant) -> Option<u64> {
        let (began, logged) = self.window.filter(|(began, _)| now.duration_since(*began) < WINDOW).unwrap_or((now, 0));
        self.window = Some((began, logged + 1));
        if logged < LOGGED {
            return Some(std::mem::take(&mut self.unlogged));
        }
        self.unlogged += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(last: u8) -> Origin {
        Origin::from(IpAddr::from([192, 0, 2, last]))
    }

    /// How many attempts are looked at in this time, where one comes each millisecond and all are wrong.
    fn guesses(attempts: &mut Attempts, from: Origin, began: Instant, time: Duration) -> u32 {
        let mut guesses = 0;
        for passed in 0..time.as_millis() as u64 {
            let now = began + Duration::from_millis(passed);
            if attempts.pause(from, now).is_none() {
                attempts.failed(from, now);
                guesses += 1;
            }
        }
        guesses
    }

    #[test]
    fn who_guesses_is_slowed_and_others_are_not() {
        let (mut attempts, began) = (Attempts::default(), Instant::now());
        assert_eq!(guesses(&mut attempts, origin(1), began, Duration::from_millis(10)), FREE, "ten are free");
        assert_eq!(attempts.pause(origin(1), began + Duration::from_millis(10)), None);
        // 250 ms, 500 ms, 1 s, 2 s, and from then on each 4 s.
        let minute = guesses(&mut attempts, origin(1), began + Duration::from_millis(10), Duration::from_secs(60));
        assert!((15..=20).contains(&minute), "{minute} guesses in a minute");
        assert_eq!(attempts.pause(origin(2), began + Duration::from_secs(60)), None);
    }

    #[test]
    fn failures_are_forgotten() {
        let (mut attempts, began) = (Attempts::default(), Instant::now());
        guesses(&mut attempts, origin(1), began, Duration::from_secs(60));
        let later = began + Duration::from_secs(60) + FORGOTTEN * MOST_COUNTED;
        assert_eq!(guesses(&mut attempts, origin(1), later, Duration::from_millis(11)), FREE + 1);
        // One each ten seconds never has to wait.
        for turn in 0..100 {
            let now = later + Duration::from_secs(1000) + FORGOTTEN * turn;
            assert_eq!(attempts.pause(origin(1), now), None);
            attempts.failed(origin(1), now);
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_origin_and_an_ipv4_address_in_it_is_itself() {
        let of = |text: &str| Origin::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn however_many_fail_only_so_many_are_remembered() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for network in 0..MOST_ORIGINS as u64 + 100 {
            attempts.failed(Origin::V6(network), now + Duration::from_millis(network));
        }
        assert_eq!(attempts.failures.len(), MOST_ORIGINS);
        assert!(!attempts.failures.contains_key(&Origin::V6(99)) && attempts.failures.contains_key(&Origin::V6(100)));
    }

    #[test]
    fn a_few_failures_a_second_are_logged_and_the_rest_as_a_number() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        let logged: Vec<_> = (0..100).filter_map(|_| attempts.log(now)).collect();
        assert_eq!(logged, [0; LOGGED as usize]);
        assert_eq!(attempts.log(now + WINDOW), Some(100 - LOGGED));
    }
}
