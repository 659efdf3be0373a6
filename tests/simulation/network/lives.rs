//! How brokers begin and end.

use std::time::Duration;

use msgstream::internal::broker::actor::Command;
use msgstream::internal::broker::assemble;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Broker, Network};
use crate::history::{Ended, Fact};
use crate::kept::Kept;

/// How long a broker that stops may take, ...
const STOP: Duration = Duration::from_secs(8);

/// ... and how long if it is told to end at once, or has to save what it has.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A broker that cannot begin is started again after this.
const RESTART: Duration = Duration::from_secs(1);

impl Network {
    /// Starts a broker that remembers nothing, or what was kept.
    pub(crate) fn start_broker(&self) {
        let mut state = self.lock();
        if state.brokers[0].is_some() || state.is_ending {
            return;
        }
        let (actor, context) = assemble(&self.settings);
        let mut actor = actor.with_epochs_of(state.rng.u64(..)).with_turns_of(self.turn);
        if let Some(kept) = &self.kept {
            let failures = kept.failures();
            actor = match kept.keep(actor, &context) {
                Ok(actor) => actor,
                Err(why) if kept.failures() > failures => return self.start_later(&why),
                Err(why) => return self.history.add(Fact::NoBroker { why }),
            };
        }
        self.history.add(Fact::BrokerBegins { has_store: self.kept.is_some() });
        let mut tasks = JoinSet::new();
        let actor = tasks.spawn(actor.run());
        state.brokers[0] = Some(Broker { context, actor, tasks });
    }

    fn start_later(&self, why: &str) {
        self.history.add(Fact::Fault(format!("no broker begins: {why}")));
        let me = self.me.clone();
        tokio::spawn(async move {
            sleep(RESTART).await;
            if let Some(network) = me.upgrade() {
                network.start_broker();
            }
        });
    }

    /// Ends the broker without a word. Its clients may learn it, or may not. What it was saving may be lost.
    pub(crate) fn kill_broker(&self) {
        let mut state = self.lock();
        let Some(mut broker) = state.brokers[0].take() else { return };
        let (links, mut rng) = (std::mem::take(&mut state.links), state.rng.fork());
        state.holders.clear();
        drop(state);
        for link in links {
            link.wire.break_off(true, rng.bool());
        }
        let panics = broker.panics();
        broker.tasks.abort_all();
        if let Some(kept) = &self.kept {
            kept.crash(&mut rng);
        }
        self.history.add(Fact::BrokerEnds { panics, end: Ended::Crashed });
    }

    /// Ends the broker as a server does that is told to stop, and perhaps after some time to do so at once.
    pub(crate) async fn stop_broker(&self, patience: Option<Duration>) {
        let Some(mut broker) = self.begin_to_end() else { return };
        let failures = self.kept.as_ref().map(Kept::failures);
        let panics = broker.panics();
        let Broker { context, tasks, actor } = &mut broker;
        let orderly = async {
            let (done, all_taken_in) = oneshot::channel();
            context.mailbox.send(Command::Quiesce(done));
            let _ = timeout(STOP, all_taken_in).await;
            context.mailbox.send(Command::Shutdown);
            timeout(STOP, connections(tasks)).await.is_ok()
        };
        let mut is_whole = timeout(patience.unwrap_or(Duration::MAX), orderly).await.unwrap_or(false);
        if !is_whole {
            context.mailbox.send(Command::Abort);
            let _ = timeout(LAST_WORD, connections(tasks)).await;
        }
        // The actor ends when nobody can reach it any more.
        *context = assemble(&self.settings).1;
        let ended = timeout(STOP + LAST_WORD, async { while tasks.join_next().await.is_some() {} }).await;
        is_whole &= ended.is_ok() && actor.is_finished();
        if let Some(kept) = self.kept.as_ref().filter(|kept| failures != Some(kept.failures())) {
            // The disk may have healed in time.
            is_whole &= kept.is_whole();
        }
        tasks.abort_all();
        let mut state = self.lock();
        state.holders.clear();
        state.is_ending = false;
        drop(state);
        self.history.add(Fact::BrokerEnds { panics, end: if is_whole { Ended::Whole } else { Ended::CutShort } });
    }

    fn begin_to_end(&self) -> Option<Broker> {
        let mut state = self.lock();
        let broker = state.brokers[0].take()?;
        state.is_ending = true;
        Some(broker)
    }

    /// What kept the broker from saving is over; but the disk may be full.
    pub(crate) fn saves_again(&self) {
        self.history.add(Fact::Saves { is_well: self.kept.as_ref().is_none_or(|kept| !kept.is_full()) });
    }

    /// Fault: there is no room for anything more on the disk, or there is again.
    pub(crate) fn fill_disk(&self, is_full: bool) {
        if let Some(kept) = &self.kept {
            self.history.add(Fact::Saves { is_well: !is_full });
            kept.fill(is_full);
        }
    }
}

/// Waits until only the actor is left.
async fn connections(tasks: &mut JoinSet<()>) {
    while tasks.len() > 1 {
        tasks.join_next().await;
    }
}
