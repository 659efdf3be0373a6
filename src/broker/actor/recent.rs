//! The last connections that the broker ended against their will: cut off, or turned away. Bounded, whatever comes.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// So many are kept, and no more of one window: of a crowd that is turned away at once the rest would only push out what came before it.
pub(super) const KEPT: usize = 100;

/// A time in which no more than [`KEPT`] are noted one by one.
const WINDOW: Duration = Duration::from_secs(1);

/// The most bytes of each text.
const LONGEST: usize = 256;

/// A connection that was cut off or turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// When.
    pub when: SystemTime,
    /// The number that it had. None if it was turned away before it had one.
    pub connection: Option<u32>,
    /// Who was at the other end.
    pub peer: String,
    /// The name that its token is listed under, if that is known.
    pub name: Option<String>,
    /// Why, as a word: the setting that was exceeded, for one that was cut off; else the code that it was told.
    pub code: &'static str,
    /// Why, for people: as it was told.
    pub reason: String,
    /// What waited for it then, in bytes.
    pub queued: usize,
    /// How many more were ended directly after it that are not kept one by one.
    pub others: u64,
}

/// The last of them.
#[derive(Debug, Default)]
pub(super) struct Recent {
    kept: VecDeque<Removed>,
    /// When the window began, and how many have come in it.
    window: Option<(Instant, usize)>,
}

impl Recent {
    /// One more. Whether it is to be kept; if not, it counts as one of the others.
    pub(super) fn takes_one(&mut self, now: Instant) -> bool {
        let (began, count) = self.window.filter(|(began, _)| now.duration_since(*began) < WINDOW).unwrap_or((now, 0));
        self.window = Some((began, count + 1));
        if count < KEPT {
            return true;
        }
        if let Some(last) = self.kept.back_mut() {
            last.others += 1;
        }
        false
    }

    /// Keeps one. The one that has been kept for longest goes if there are too many.
    pub(super) fn keep(&mut self, mut removed: Removed) {
        shorten(&mut removed.peer);
        shorten(&mut removed.reason);
        removed.name.iter_mut().for_each(shorten);
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(removed);
    }

    /// All of them, the last one first.
    pub(super) fn all(&self) -> Vec<Removed> {
        self.kept.iter().rev().cloned().collect()
    }
}

/// Cuts a text to what is kept of it, at the end of a character, and gives the rest of its room back.
fn shorten(text: &mut String) {
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn removed(number: u32) -> Removed {
        let (peer, reason) = ("p".repeat(1000), format!("{}é", "r".repeat(255)));
        let name = Some("n".repeat(257));
        Removed { when: SystemTime::UNIX_EPOCH, connection: Some(number), peer, name, code: "outbox_limit", reason, queued: 1, others: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_hundred_are_kept_the_last_first() {
        let mut recent = Recent::default();
        for number in 0..150 {
            advance(WINDOW / 50).await;
            assert!(recent.takes_one(Instant::now()));
            recent.keep(removed(number));
        }
        let all = recent.all();
        let numbers: Vec<_> = all.iter().filter_map(|removed| removed.connection).collect();
        assert_eq!(numbers, (50..150).rev().collect::<Vec<_>>());
        assert!(all.iter().all(|removed| removed.peer.len() == 256 && removed.name.as_ref().is_some_and(|name| name.len() == 256)));
        assert!(all.iter().all(|removed| removed.reason.len() == 255), "it ends with a whole character");
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_crowd_the_first_are_kept_and_the_others_counted() {
        let mut recent = Recent::default();
        let (mut kept, now) = (0, Instant::now());
        for number in 0..1000 {
            if recent.takes_one(now) {
                recent.keep(removed(number));
                kept += 1;
            }
        }
        assert_eq!((kept, recent.all()[0].connection, recent.all()[0].others), (100, Some(99), 900));
        advance(WINDOW).await;
        assert!(recent.takes_one(Instant::now()), "a later one is kept again");
    }
}
