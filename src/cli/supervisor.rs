//! What systemd is told: that the broker is ready, reloads or stops, how it stands, and that it is alive.
//!
//! Without systemd nothing is told, and nothing runs for it. Nothing else depends on it, so a failure is only logged.

use std::env;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Instant, sleep};

use crate::broker::server::Pulse;
use crate::broker::{Stats, StatsSnapshot};

/// The time between two lines on how the broker stands.
const STATUS: Duration = Duration::from_secs(5);

/// How often the watchdog is fed within the time that it waits: more than twice, in case the machine is slow.
const FEEDS: u32 = 3;

/// Tells systemd something, if it started this process and wants to know.
pub(crate) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "supervisor not told");
    }
}

/// Tells that the broker reloads, reloads, and tells that it has.
pub(crate) async fn reloading(reload: impl Future<Output = ()>) {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "supervisor not told"),
    }
    reload.await;
    tell(&[NotifyState::Ready]);
}

/// Tells how the broker stands, again and again, and feeds the watchdog if there is one. Ends with the broker.
pub(crate) async fn watch(pulse: Pulse, stats: Arc<Stats>) {
    if env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let watchdog = sd_notify::watchdog_enabled();
    let beat = || {
        let pulse = pulse.clone();
        async move { pulse.beat().await }
    };
    keep_telling(watchdog, beat, || (stats.snapshot(), node(&stats)), tell).await;
}

/// How a node stands to the others. Nothing of a broker that is on its own.
fn node(stats: &Stats) -> Option<String> {
    let (name, nodes) = stats.contact.name().zip(stats.contact.nodes())?;
    Some(match stats.contact.cut_off() {
        Some((time, why)) => format!("node {name} is cut off from the others for {} s: {why}", time.as_secs()),
        None => format!("node {name} of {nodes}"),
    })
}

/// Feeds the watchdog only once the actor has answered: if nothing can pass it, the broker is of no use, and is to be restarted.
async fn keep_telling<B: Future<Output = bool>>(
    watchdog: Option<Duration>,
    beat: impl Fn() -> B,
    stand: impl Fn() -> (StatsSnapshot, Option<String>),
    mut tell: impl FnMut(&[NotifyState<'_>]),
) {
    let pause = watchdog.map_or(STATUS, |time| (time / FEEDS).min(STATUS));
    let mut before = (Instant::now(), stand().0);
    loop {
        sleep(pause).await;
        if !beat().await {
            return;
        }
        let (now, (counts, node)) = (Instant::now(), stand());
        let status = status(&before.1, &counts, now - before.0, node);
        before = (now, counts);
        match watchdog {
            Some(_) => tell(&[NotifyState::Status(&status), NotifyState::Watchdog]),
            None => tell(&[NotifyState::Status(&status)]),
        }
    }
}

/// How the broker stands, for people.
fn status(before: &StatsSnapshot, now: &StatsSnapshot, time: Duration, node: Option<String>) -> String {
    let connections = now.connections_opened.saturating_sub(now.connections_closed);
    let delivered = now.delivered.saturating_sub(before.delivered) as f64 / time.as_secs_f64().max(f64::EPSILON);
    let counts = format!("{connections} connections, {} streams, {delivered:.0} messages a second delivered", now.streams);
    node.map_or(counts.clone(), |node| format!("{counts}; {node}"))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::pending;

    use tokio::time::timeout;

    use super::*;

    /// What is told in a minute and a second if the actor answers only so many times.
    async fn told(watchdog: Option<Duration>, answers: usize) -> Vec<String> {
        let (asked, told) = (Cell::new(0), RefCell::new(Vec::new()));
        let beat = || {
            asked.set(asked.get() + 1);
            let is_answered = asked.get() <= answers;
            async move { is_answered || pending().await }
        };
        let tell = |states: &[NotifyState<'_>]| told.borrow_mut().extend(states.iter().map(ToString::to_string));
        let telling = keep_telling(watchdog, beat, || (Stats::default().snapshot(), None), tell);
        assert!(timeout(Duration::from_secs(61), telling).await.is_err(), "it goes on as long as the broker does");
        told.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_as_long_as_the_actor_answers() {
        let status = "STATUS=0 connections, 0 streams, 0 messages a second delivered";
        let fed = told(Some(Duration::from_secs(6)), usize::MAX).await;
        // A third of six seconds, in a minute.
        assert_eq!(fed, [status, "WATCHDOG=1"].repeat(30));
        let starved = told(Some(Duration::from_secs(6)), 2).await;
        assert_eq!(starved, [status, "WATCHDOG=1"].repeat(2));
        assert_eq!(told(None, usize::MAX).await, [status].repeat(12));
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_broker() {
        let telling =
            keep_telling(None, || async { false }, || (Stats::default().snapshot(), None), |_| unreachable!("there is no broker"));
        timeout(Duration::from_secs(60), telling).await.expect("it ends");
    }

    #[test]
    fn messages_are_counted_a_second() {
        let stats = Stats::default();
        let before = stats.snapshot();
        stats.delivered.add(1000);
        stats.connections_opened.add(3);
        stats.connections_closed.add(1);
        let counted = status(&before, &stats.snapshot(), Duration::from_secs(4), None);
        assert_eq!(counted, "2 connections, 0 streams, 250 messages a second delivered");
        let told = status(&before, &before, Duration::from_secs(4), Some("node north of 2".to_owned()));
        assert_eq!(told, "0 connections, 0 streams, 0 messages a second delivered; node north of 2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_tells_how_it_stands_to_the_others() {
        let stats = Stats::default();
        assert_eq!(node(&stats), None);
        stats.contact.begin("north");
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(node(&stats).as_deref(), Some("node north is cut off from the others for 7 s: it has not read the log yet"));
    }
}
