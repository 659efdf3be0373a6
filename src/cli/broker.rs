//! What all subcommands that talk to a broker share: where it is, and the runtime.

use std::env;
use std::future::Future;

use crate::client::{BadServerAddress, Options, RemoteStream, ServerAddress};
use crate::wire::units::Span;
use anyhow::Context;
use tokio::runtime::Builder;
use tokio::time::Instant;

use super::exit::{Exit, Failure, OrExit, Outcome};

/// The flags that say where the broker is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Broker {
    /// The broker: host, host:port or unix:/path; the port is 7342 unless given
    #[arg(long, value_name = "ADDR", env = VARIABLE, default_value = ServerAddress::DEFAULT, value_parser = address)]
    server: ServerAddress,
}

/// The variable that says where the broker is, unless an option does.
const VARIABLE: &str = "MSGSTREAM_SERVER";

/// Reads an address. An empty variable counts as unset; clap does not tell whether a value comes from the variable.
fn address(text: &str) -> Result<ServerAddress, BadServerAddress> {
    let is_unset = text.is_empty() && env::var_os(VARIABLE).is_some_and(|value| value.is_empty());
    if is_unset { ServerAddress::DEFAULT } else { text }.parse()
}

impl Broker {
    /// Connects, or says why not.
    pub(crate) async fn connect(&self, options: Options) -> Result<RemoteStream, Failure> {
        Ok(RemoteStream::connect_with(self.server.clone(), options).await?)
    }

    /// Connects within this time, if there is a limit, and says when it will be up.
    pub(crate) async fn connect_within(
        &self,
        time: Option<Span>,
        mut options: Options,
    ) -> Result<(RemoteStream, Option<Instant>), Failure> {
        let end = time.and_then(|Span(time)| Instant::now().checked_add(time));
        options.connect_time = time.map_or(options.connect_time, |Span(time)| time.min(options.connect_time));
        Ok((self.connect(options).await?, end))
    }

    /// Connects in the background, for as long as it takes.
    pub(crate) fn start(&self, options: Options) -> RemoteStream {
        RemoteStream::start(self.server.clone(), options)
    }

    /// The address as text.
    pub(crate) fn address(&self) -> String {
        self.server.to_string()
    }
}

/// Runs a subcommand on this thread.
pub(crate) fn block_on(work: impl Future<Output = Outcome>) -> Outcome {
    let runtime = Builder::new_current_thread().enable_all().build().context("cannot start the runtime").or_exit(Exit::Io)?;
    let outcome = runtime.block_on(work);
    // A pending read of standard input must not keep the program alive.
    runtime.shutdown_background();
    outcome
}
