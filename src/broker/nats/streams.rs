//! The two streams of a space in JetStream: they are made if they are not there, and told apart from others of the same name.

use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use crate::broker::settings::NodesSettings;

use super::api::{Api, Fault, Info};
use super::names::Names;

/// What is said to be missing so often in a row is, ...
const BELIEVED: usize = 5;

/// ... if it is asked for again behind this pause.
const PAUSE: Duration = Duration::from_millis(200);

/// Which of several that were made at the same time counts is known after this.
const SETTLED: Duration = Duration::from_millis(500);

/// How the streams of a space are made.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    pub(super) names: Names,
    replicas: usize,
    bytes: usize,
}

impl Streams {
    pub(super) fn of(settings: &NodesSettings, names: Names) -> Self {
        Self { names, replicas: settings.replicas, bytes: settings.log.0 }
    }

    /// Makes the streams that are not there. Those that are stay as they are.
    pub(super) async fn make(&self, api: &Api) -> Result<(), Fault> {
        // First the one that is of no use alone: who finds a log finds all.
        let is_alone = self.is_alone(api);
        if is_missing(is_alone, || api.info(&self.names.state)).await? {
            let config = json!({
                "name": self.names.state,
                "subjects": [self.names.all_state()],
                "storage": "file",
                "retention": "limits",
                "num_replicas": self.replicas,
                "max_msgs_per_subject": 1,
                "discard": "old",
            });
            api.create(&self.names.state, &config).await?;
        }
        if is_missing(is_alone, || api.info(&self.names.log)).await? {
            let config = json!({
                "name": self.names.log,
                "subjects": [self.names.records],
                "storage": "file",
                "retention": "limits",
                "num_replicas": self.replicas,
                "max_bytes": self.bytes,
                // It says that it is full, and loses nothing.
                "discard": "new",
            });
            api.create(&self.names.log, &config).await?;
        }
        Ok(())
    }

    /// Whether a log that nobody has written to is the one that counts. If several nodes make it at the same time, several servers may do so one after
    /// the other, and the last one counts: so whoever finds it empty waits for a moment, and asks again.
    pub(super) async fn counts<E, F: Future<Output = Result<Info, E>>>(
        &self,
        api: &Api,
        found: &Info,
        again: impl FnOnce() -> F,
    ) -> Result<bool, E> {
        counts(self.is_alone(api), found, again).await
    }

    /// Whether there is only one NATS server that could make or know streams. How many copies this node would have made says little: the node that
    /// made the streams may have been told of more.
    fn is_alone(&self, api: &Api) -> bool {
        self.replicas == 1 && !api.link().is_to_cluster()
    }
}

async fn counts<E, F: Future<Output = Result<Info, E>>>(is_alone: bool, found: &Info, again: impl FnOnce() -> F) -> Result<bool, E> {
    if is_alone || found.state.last > 0 {
        return Ok(true);
    }
    sleep(SETTLED).await;
    Ok(again().await?.identity() == found.identity())
}

/// Whether a stream is not there. Of several servers, one that has just come to lead them may not know yet of all that there are, and would
/// have one take the place of another; so it has to say so more than once.
async fn is_missing<T, F: Future<Output = Result<Option<T>, Fault>>>(is_alone: bool, mut info: impl FnMut() -> F) -> Result<bool, Fault> {
    for time in 1.. {
        if info().await?.is_some() {
            return Ok(false);
        }
        if is_alone || time == BELIEVED {
            break;
        }
        sleep(PAUSE).await;
    }
    Ok(true)
}

impl Info {
    /// Names a stream: the same for all who ask, and another one if it is made anew.
    pub(super) fn identity(&self) -> u64 {
        Sha256::digest(&self.created).iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::ready;

    use super::super::api::{Cluster, State};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_empty_log_counts_if_it_is_still_there_a_moment_later() {
        let log = |created: &str, last| Info {
            created: created.to_owned(),
            state: State { first: 1, last, subjects: None },
            cluster: Cluster::default(),
        };
        let counts = async |is_alone: bool, last: u64, later: &str| {
            let mut was_asked = false;
            let again = || {
                was_asked = true;
                ready(Ok::<_, Infallible>(log(later, 0)))
            };
            let Ok(counts) = super::counts(is_alone, &log("at noon", last), again).await;
            (counts, was_asked)
        };
        assert_eq!(counts(false, 0, "at noon").await, (true, true));
        assert_eq!(counts(false, 0, "later").await, (false, true));
        assert_eq!(counts(false, 1, "later").await, (true, false), "somebody has waited already");
        assert_eq!(counts(true, 0, "later").await, (true, false), "a single server makes one");
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_servers_one_may_not_know_of_a_stream_yet() {
        let asked = async |is_alone: bool, there_at: u32| {
            let mut times = 0;
            let is_missing = is_missing(is_alone, || {
                times += 1;
                ready(Ok((times == there_at).then_some(())))
            });
            (is_missing.await.unwrap(), times)
        };
        assert_eq!(asked(false, 1).await, (false, 1));
        assert_eq!(asked(false, 5).await, (false, 5));
        assert_eq!(asked(false, 6).await, (true, 5));
        assert_eq!(asked(true, 2).await, (true, 1), "a single server knows all that there are");
    }
}
