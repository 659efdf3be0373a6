//! The two streams of a space in JetStream: they are made if they are not there, and told apart from others of the same name.

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::broker::settings::NodesSettings;

use super::api::{Api, Fault, Info};
use super::names::Names;

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
        if api.info(&self.names.state).await?.is_none() {
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
        if api.info(&self.names.log).await?.is_none() {
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
}

impl Info {
    /// Names a stream: the same for all who ask, and another one if it is made anew.
    pub(super) fn identity(&self) -> u64 {
        Sha256::digest(&self.created).iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}
