//! How nodes begin and end, and what they reach. For clients they are one broker, which never ends: whoever loses one finds another.

use std::time::Duration;

use msgstream::internal::broker::actor::{Command, NodeSettings};
use msgstream::internal::broker::assemble;
use msgstream::internal::broker::core::SharedLimits;
use msgstream::internal::broker::space::Told;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{Broker, Link, Network};
use crate::history::{Client, Ended, Fact};

/// How long a node may be silent.
const LEASE: Duration = Duration::from_secs(4);

/// The state is kept after so many records.
const KEEP: usize = 60;

/// How long a node that stops may take.
const STOP: Duration = Duration::from_secs(8);

impl Network {
    /// How many nodes there may be.
    pub(crate) fn nodes(&self) -> usize {
        self.lock().brokers.len()
    }

    /// Starts all nodes.
    pub(crate) fn start_nodes(&self) {
        self.history.add(Fact::BrokerBegins { has_store: false });
        (0..self.nodes()).for_each(|node| self.start_node(node));
    }

    /// Starts a node, unless it runs.
    pub(crate) fn start_node(&self, node: usize) {
        let mut state = self.lock();
        let Some(log) = self.log.as_ref().filter(|_| state.brokers[node].is_none() && !state.ending_nodes.contains(&node)) else { return };
        self.history.add(Fact::Fault(format!("node {node} begins")));
        let (actor, context) = assemble(&self.settings);
        let mailbox = context.mailbox.weak();
        let me = self.me.clone();
        let tell = move |told| {
            if let Told::Over(why) = told {
                // As a supervisor does.
                let me = me.clone();
                tokio::spawn(async move {
                    let Some(network) = me.upgrade() else { return };
                    network.history.add(Fact::Fault(format!("node {node} cannot go on: {why}")));
                    network.kill_node(node);
                    sleep(Duration::from_secs(1)).await;
                    network.start_node(node);
                });
                return false;
            }
            mailbox.upgrade().is_some_and(|mailbox| mailbox.send(Command::Log(told)).is_ok())
        };
        let mut tasks = JoinSet::new();
        let port = log.follow(node, &mut tasks, tell);
        let limits = SharedLimits::of(actor.limits());
        let (name, addresses, seed) = (format!("n{node}"), Vec::new(), state.rng.u64(..));
        let settings = NodeSettings { name, addresses, limits, lease: LEASE, seed, keep_after: KEEP, log: 1 << 30 };
        let actor = actor.with_turns_of(self.turn).shared_by(Box::new(port), settings);
        let actor = tasks.spawn(actor.run());
        state.brokers[node] = Some(Broker { context, actor, tasks });
    }

    /// Fault: a node ends without a word.
    pub(crate) fn kill_node(&self, node: usize) {
        let mut state = self.lock();
        let Some(mut broker) = state.brokers[node].take() else { return };
        self.history.add(Fact::Fault(format!("node {node} is killed")));
        let mut rng = state.rng.fork();
        let links = take(&mut state.links, node);
        state.apart_nodes.remove(&node);
        drop(state);
        self.has_no_panics(&broker);
        for link in links {
            link.wire.break_off(true, rng.bool());
            self.left(link.number, link.client);
        }
        broker.tasks.abort_all();
        if let Some(log) = &self.log {
            log.set_apart(node, false);
        }
    }

    /// A node is told to stop.
    pub(crate) async fn stop_node(&self, node: usize) {
        let Some(mut broker) = self.begin_to_end_node(node) else { return };
        self.history.add(Fact::Fault(format!("node {node} is told to stop")));
        let Broker { context, tasks, .. } = &mut broker;
        let (done, all_taken_in) = oneshot::channel();
        context.mailbox.send(Command::Quiesce(done));
        let _ = timeout(STOP, all_taken_in).await;
        context.mailbox.send(Command::Shutdown);
        self.let_go(node);
        // The tasks of the log and the actor are left.
        let ended = timeout(STOP, async {
            while tasks.len() > 3 {
                tasks.join_next().await;
            }
        });
        if ended.await.is_err() {
            context.mailbox.send(Command::Abort);
        }
        self.has_no_panics(&broker);
        let Broker { context, actor, mut tasks } = broker;
        drop(context);
        let _ = timeout(STOP, async {
            while !actor.is_finished() {
                tasks.join_next().await;
            }
        })
        .await;
        tasks.abort_all();
        self.lock().ending_nodes.remove(&node);
        self.reach_log(node);
    }

    /// From here on the sessions of a node's clients wait for other connections.
    fn let_go(&self, node: usize) -> Vec<(Client, u32)> {
        let mut state = self.lock();
        let held: Vec<(Client, u32)> = state.links.iter().filter(|link| link.node == node).map(|link| (link.client, link.number)).collect();
        let held: Vec<_> = held.into_iter().filter(|(client, link)| state.holders.get(client) == Some(link)).collect();
        for (client, _) in &held {
            state.holders.remove(client);
        }
        drop(state);
        held.iter().for_each(|(client, _)| self.history.add(Fact::Away { client: *client }));
        held
    }

    fn begin_to_end_node(&self, node: usize) -> Option<Broker> {
        let mut state = self.lock();
        let broker = state.brokers[node].take()?;
        state.ending_nodes.insert(node);
        Some(broker)
    }

    /// Fault: a node does not reach the log.
    pub(crate) fn leave_log(&self, node: usize) {
        let mut state = self.lock();
        let Some(log) = self.log.as_ref().filter(|_| state.brokers[node].is_some() && !state.apart_nodes.contains_key(&node)) else {
            return;
        };
        self.history.add(Fact::Fault(format!("node {node} does not reach the log")));
        log.set_apart(node, true);
        state.apart_nodes.insert(node, (Instant::now(), Vec::new()));
        drop(state);
        // For the others its clients are away from when it was heard of last.
        let held = self.let_go(node);
        if let Some((_, left)) = self.lock().apart_nodes.get_mut(&node) {
            *left = held;
        }
    }

    /// A node reaches the log again.
    pub(crate) fn reach_log(&self, node: usize) {
        let mut state = self.lock();
        let Some(log) = &self.log else { return };
        log.set_apart(node, false);
        let Some((since, held)) = state.apart_nodes.remove(&node) else { return };
        self.history.add(Fact::Fault(format!("node {node} reaches the log again")));
        if since.elapsed() + Duration::from_secs(2) > LEASE {
            return;
        }
        let held: Vec<_> = held.into_iter().filter(|(_, number)| state.links.iter().any(|link| link.number == *number)).collect();
        let held: Vec<_> = held.into_iter().filter(|(client, _)| !state.holders.contains_key(client)).collect();
        for (client, link) in &held {
            state.holders.insert(*client, *link);
        }
        drop(state);
        held.into_iter().for_each(|(client, _)| self.history.add(Fact::Back { client }));
    }

    fn has_no_panics(&self, broker: &Broker) {
        let panics = broker.context.stats.snapshot().panics + u64::from(broker.actor.is_finished());
        if panics > 0 {
            let over = broker.context.stats.why_over();
            self.history.add(Fact::NoBroker { why: format!("a node has panicked, or could not go on: {over:?}") });
        }
    }

    /// The simulation is over.
    pub(crate) fn end_nodes(&self) {
        let brokers: Vec<_> = self.lock().brokers.iter_mut().filter_map(Option::take).collect();
        let mut panics = 0;
        for mut broker in brokers {
            self.has_no_panics(&broker);
            panics += broker.context.stats.snapshot().panics;
            broker.tasks.abort_all();
        }
        self.history.add(Fact::BrokerEnds { panics, end: Ended::Crashed });
    }
}

fn take(links: &mut Vec<Link>, node: usize) -> Vec<Link> {
    let (taken, left) = std::mem::take(links).into_iter().partition(|link| link.node == node);
    *links = left;
    taken
}
