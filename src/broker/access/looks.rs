//! When files that are looked at from time to time are to be read again. Pure: whoever looks tells how they stand, and the time.

use std::time::Duration;

use tokio::time::Instant;

/// So many looks in a row find another change each: somebody goes on writing, and what stands there is read all the same.
const RESTLESS: u32 = 10;

/// What could not be read is tried again after this time, though it looks the same: what was in the way may be elsewhere, and whoever
/// reads the log learns that it still counts as before.
const AGAIN: Duration = Duration::from_secs(60);

/// See the module. `S` is how the files stand.
#[derive(Debug)]
pub struct Looks<S> {
    /// When they were last read, or tried to be.
    read: S,
    /// When they were last looked at.
    seen: Option<S>,
    /// How many looks in a row have found another change.
    changes: u32,
    /// When they were last read in vain, if the last reading was.
    failed: Option<Instant>,
}

impl<S: PartialEq> Looks<S> {
    /// They were read while they stood so.
    pub fn new(read: S) -> Self {
        Self { read, seen: None, changes: 0, failed: None }
    }

    /// Whether they are to be read again: they are otherwise than when they were read, and not otherwise than at the look before, since
    /// somebody may be writing.
    pub fn is_due(&mut self, found: S, now: Instant) -> bool {
        let is_same = self.seen.as_ref() == Some(&found);
        self.changes = if is_same { 0 } else { self.changes + 1 };
        let is_settled = is_same || self.changes >= RESTLESS;
        let is_due = self.read != found || self.failed.is_some_and(|failed| now.duration_since(failed) >= AGAIN);
        self.seen = Some(found);
        is_settled && is_due
    }

    /// They are about to be read, and stand so.
    pub fn reads(&mut self, found: S) {
        (self.read, self.changes, self.failed) = (found, 0, None);
    }

    /// They could not be.
    pub fn failed(&mut self, now: Instant) {
        self.failed = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_once_they_have_settled_or_never_do() {
        let (mut looks, now) = (Looks::new(0), Instant::now());
        assert!(!looks.is_due(0, now) && !looks.is_due(0, now), "nothing has changed");
        assert!(!looks.is_due(1, now) && looks.is_due(1, now));
        looks.reads(1);
        assert!(!looks.is_due(1, now));
        let read_at: Vec<_> = (2..32)
            .filter(|found| {
                let is_due = looks.is_due(*found, now);
                if is_due {
                    looks.reads(*found);
                }
                is_due
            })
            .collect();
        assert_eq!(read_at, [11, 21, 31], "each tenth look");
    }

    #[test]
    fn what_cannot_be_read_is_tried_again_from_time_to_time() {
        let (mut looks, began) = (Looks::new(0), Instant::now());
        looks.is_due(1, began);
        assert!(looks.is_due(1, began));
        looks.reads(1);
        looks.failed(began);
        assert!(!looks.is_due(1, began + AGAIN - Duration::from_millis(1)));
        assert!(looks.is_due(1, began + AGAIN));
        looks.reads(1);
        assert!(!looks.is_due(1, began + 2 * AGAIN));
    }
}
