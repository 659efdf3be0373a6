//! Who tries to get in, and fails: how often that may be. Pure; bounded whatever comes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tokio::time::Instant;

use super::identity::Digest;

/// Where a connection comes from, as far as attempts are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
/// So many wrong tokens of an origin are known again: who tries one of them once more guesses nothing.
const KNOWN_AGAIN: usize = 16;
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
    /// How the digests of the last wrong tokens begin. That many bits are enough: who would find two alike gains nothing.
    wrong: [u64; KNOWN_AGAIN],
    /// How many there were.
    wrongs: usize,
}

impl Failures {
    /// Whether this token is wrong anew. It is no more, after this.
    fn is_new(&mut self, wrong: u64) -> bool {
        if self.wrong.iter().take(self.wrongs).any(|known| *known == wrong) {
            return false;
        }
        if let Some(oldest) = self.wrong.get_mut(self.wrongs % KNOWN_AGAIN) {
            *oldest = wrong;
        }
        self.wrongs += 1;
        true
    }
}

impl Attempts {
    /// How long who comes from there has to wait, if so.
    pub(super) fn pause(&self, origin: Origin, now: Instant) -> Option<Duration> {
        let until = self.failures.get(&origin)?.closed_until;
        Some(until.duration_since(now)).filter(|pause| !pause.is_zero())
    }

    /// Somebody from there has failed with this token. The same one again is no guess, and changes nothing: a job that was left with an
    /// old token tries it for ever, and others work where it does.
    pub(super) fn failed(&mut self, origin: Origin, token: &Digest, now: Instant) {
        let none = Failures { count: 0, last: now, closed_until: now, wrong: [0; KNOWN_AGAIN], wrongs: 0 };
        let mut failures = self.failures.get(&origin).copied().unwrap_or(none);
        if !failures.is_new(token.beginning()) {
            return;
        }
        let forgotten = now.duration_since(failures.last).as_secs() / FORGOTTEN.as_secs();
        failures.count = (failures.count.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX)) + 1).min(MOST_COUNTED);
        let pause = match failures.count.checked_sub(FREE + 1) {
            Some(doublings) => FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE),
            None => Duration::ZERO,
        };
        (failures.last, failures.closed_until) = (now, now + pause);
        if self.failures.len() >= MOST_ORIGINS && !self.failures.contains_key(&origin) {
            self.make_room();
        }
        self.failures.insert(origin, failures);
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

    fn token(number: u64) -> Digest {
        Digest::of(&crate::wire::Token::new(&number.to_string()).unwrap())
    }

    fn origin(last: u8) -> Origin {
        Origin::from(IpAddr::from([192, 0, 2, last]))
    }

    /// How many attempts are looked at in this time, where one comes each millisecond and all are wrong.
    fn guesses(attempts: &mut Attempts, from: Origin, began: Instant, time: Duration) -> u32 {
        let mut guesses = 0;
        for passed in 0..time.as_millis() as u64 {
            let now = began + Duration::from_millis(passed);
            if attempts.pause(from, now).is_none() {
                attempts.failed(from, &token(attempts.failures.get(&from).map_or(0, |failures| failures.wrongs as u64)), now);
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
            attempts.failed(origin(1), &token(1000 + u64::from(turn)), now);
        }
    }

    // Seen to fail when each counted: a fleet with one old token locked out who had a good one.
    #[test]
    fn who_tries_the_same_wrong_tokens_again_guesses_nothing() {
        let (mut attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..1000 {
            for old in 0..FREE {
                attempts.failed(origin(1), &token(old.into()), now);
            }
        }
        assert_eq!(attempts.pause(origin(1), now), None);
        // A guess between them counts; and so many are not remembered that one could try all again for nothing.
        attempts.failed(origin(1), &token(100), now);
        assert_eq!(attempts.pause(origin(1), now), Some(FIRST_PAUSE));
        attempts.failed(origin(1), &token(0), now);
        assert_eq!(attempts.pause(origin(1), now), Some(FIRST_PAUSE), "it makes no pause longer");
        for other in 0..KNOWN_AGAIN as u64 {
            attempts.failed(origin(2), &token(other), now);
        }
        assert_eq!(attempts.pause(origin(2), now), Some(LONGEST_PAUSE));
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
            attempts.failed(Origin::V6(network), &token(0), now + Duration::from_millis(network));
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
