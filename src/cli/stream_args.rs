//! What some subcommands are told and no more: a stream, and where its broker is.

use crate::client::{Options, RemoteStream};

use super::broker::Broker;
use super::exit::Failure;

/// The arguments that name a stream.
#[derive(Debug, clap::Args)]
pub(crate) struct StreamArgs {
    /// The stream
    pub(crate) stream: String,
    #[command(flatten)]
    broker: Broker,
}

impl StreamArgs {
    /// Connects to the stream's broker, or says why not.
    pub(crate) async fn connect(&self) -> Result<RemoteStream, Failure> {
        self.broker.connect(Options::default()).await
    }
}
