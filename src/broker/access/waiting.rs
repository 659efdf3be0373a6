//! Connections that have yet to say who they are. Bounded, and whoever holds the most places gives one up for a newcomer: so strangers that
//! come and say nothing keep nobody out, wherever they come from.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::attempts::Origin;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// By number, which grows: the first has waited for longest.
    places: BTreeMap<u64, (Origin, CancellationToken)>,
    /// The numbers of each origin.
    of: HashMap<Origin, BTreeSet<u64>>,
    /// The origins by how many they have. Of two that have as many, the one who has waited for longer comes last.
    by_size: BTreeSet<(usize, Reverse<u64>, Origin)>,
    latest: u64,
}

impl Waiting {
    /// One more waits. If there are more than `most` then, one that has waited for longest among those of the origin that has the most is
    /// told to go.
    fn enter(&mut self, origin: Origin, most: usize) -> (u64, CancellationToken) {
        self.latest += 1;
        let over = CancellationToken::new();
        self.places.insert(self.latest, (origin, over.clone()));
        self.change(origin, |numbers, latest| _ = numbers.insert(latest));
        while self.places.len() > most {
            // The least number of the origin that has most.
            let Some((_, Reverse(first), _)) = self.by_size.last().copied() else { break };
            if let Some(over) = self.leave(first) {
                over.cancel();
            }
        }
        (self.latest, over)
    }

    /// One waits no more.
    fn leave(&mut self, number: u64) -> Option<CancellationToken> {
        let (origin, over) = self.places.remove(&number)?;
        self.change(origin, |numbers, _| _ = numbers.remove(&number));
        Some(over)
    }

    /// Changes the numbers of an origin, and its rank with it.
    fn change(&mut self, origin: Origin, change: impl FnOnce(&mut BTreeSet<u64>, u64)) {
        let rank = |numbers: &BTreeSet<u64>| Some((numbers.len(), Reverse(*numbers.first()?), origin));
        let mut numbers = self.of.remove(&origin).unwrap_or_default();
        if let Some(before) = rank(&numbers) {
            self.by_size.remove(&before);
        }
        change(&mut numbers, self.latest);
        if let Some(now) = rank(&numbers) {
            self.by_size.insert(now);
            self.of.insert(origin, numbers);
        }
    }
}

/// The place of a connection that waits, for as long as it lives.
#[derive(Debug)]
pub struct Place {
    waiting: Arc<Mutex<Waiting>>,
    number: u64,
    over: CancellationToken,
    evicted: Option<std::pin::Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Place {
    /// One more, of `most` at most.
    pub(super) fn new(waiting: &Arc<Mutex<Waiting>>, origin: Origin, most: usize) -> Self {
        let (number, over) = lock(waiting).enter(origin, most);
        Self { waiting: Arc::clone(waiting), number, over, evicted: None }
    }

    /// Cancelled when the place was given to a newcomer.
    pub fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// Ready when the place was given to a newcomer.
    pub fn poll_evicted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let over = &self.over;
        self.evicted.get_or_insert_with(|| Box::pin(over.clone().cancelled_owned())).as_mut().poll(cx)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.waiting).leave(self.number);
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn origin(last: u8) -> Origin {
        Origin::from(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn a_newcomer_takes_the_place_of_the_oldest_of_those_who_have_most() {
        let mut waiting = Waiting::default();
        let mut enter = |last| (last, waiting.enter(origin(last), 4).1);
        let mut places: Vec<_> = [1, 1, 1, 2].map(&mut enter).into();
        places.push(enter(3));
        let gone = |places: &[(u8, CancellationToken)]| {
            places.iter().enumerate().filter(|(_, (_, over))| over.is_cancelled()).map(|(at, _)| at).collect::<Vec<_>>()
        };
        assert_eq!(gone(&places), [0]);
        // Whoever comes in numbers pushes out its own.
        places.extend([1, 1, 1].map(&mut enter));
        assert_eq!(gone(&places), [0, 1, 2, 5]);
        // Among equals, who has waited for longest.
        places.extend([4, 5].map(&mut enter));
        assert_eq!(gone(&places), [0, 1, 2, 3, 5, 6]);
        for number in 1..=10 {
            waiting.leave(number);
        }
        assert!(waiting.places.is_empty() && waiting.of.is_empty() && waiting.by_size.is_empty());
    }
}
