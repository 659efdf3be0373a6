//! `msgstream serve`: reads the configuration and runs the broker until a signal ends it.

use std::io;

use crate::broker::server::{HandedIn, Server, beside, http_beside};
use crate::broker::settings::Settings;
use crate::broker::store::StoreError;
use crate::cli::config::{Config, ConfigError};
use crate::wire::{Address, Listen};
use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::exit::{Exit, Failure, OrExit};
use super::handed_in;
use super::log::Log;
use super::port_file::PortFile;
use super::reload::Reload;
use super::settings::{self, Loaded, SettingsArgs};
use super::signals::Signals;
use super::supervisor;

/// Run the broker
///
/// Settings come from the configuration file, the environment and these flags; each overrides those before it. Every setting has a
/// variable: `outbox.limit` is MSGSTREAM_OUTBOX__LIMIT; `listen` is MSGSTREAM_LISTEN, separated by commas. Sockets that systemd hands in
/// are listened on as well, in place of the addresses that they cover.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER_HELP, after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: SettingsArgs,

    /// Check the configuration, print its addresses, and exit
    #[arg(long)]
    check: bool,
}

const AFTER_HELP: &str = "\
Examples:
  msgstream serve
  MSGSTREAM_AUTH__TOKENS=tokens.toml msgstream serve --listen 0.0.0.0:7342     let in who has a token, see msgstream token
  msgstream serve --listen 127.0.0.1:0 --port-file port     any free port, written to a file
  msgstream serve --config msgstream.toml --check           check this file
  MSGSTREAM_OUTBOX__LIMIT=256MiB msgstream serve            any setting, from the environment

Signals:
  SIGTERM, SIGINT   stop accepting, send what is queued, exit; a second one cuts that short
  SIGHUP            read the configuration again: [limits], log.level, certificates and tokens change at once, other settings need a
                    restart, which the log says; a configuration with an error changes no setting

Exit codes:
   0  the broker was asked to stop, and did; or --check found no error
  64  the command line cannot be understood
  69  the broker cannot listen on an address
  70  the broker itself failed: please report it
  74  a file cannot be written, or the system refused something
  78  the configuration cannot be used";

/// Runs the subcommand.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    // Before any thread runs.
    let handed_in = handed_in::sockets().or_exit(Exit::Config)?;
    let mut loaded = args.settings.load().or_exit(Exit::Config)?;
    loaded.config = with_sockets(loaded.config, &handed_in).or_exit(Exit::Config)?;
    loaded.check_files()?;
    if args.check {
        return settings::print_addresses(&loaded.config);
    }
    let (log, _writer) = Log::start(&loaded.config.log);
    raise_descriptor_limit();
    let runtime = runtime(loaded.config.runtime.workers).context("cannot start the runtime").or_exit(Exit::Io)?;
    let outcome = runtime.block_on(serve(args.settings, loaded, log, handed_in));
    // A configuration file that cannot be read to its end must not keep the program alive.
    runtime.shutdown_background();
    outcome
}

/// The configuration with the addresses of the sockets that were handed in, for which all holds that holds for others.
fn with_sockets(mut config: Config, handed_in: &[HandedIn]) -> Result<Config, ConfigError> {
    if handed_in.is_empty() {
        return Ok(config);
    }
    config.listen = beside(&config.listen, handed_in);
    config.http.listen = http_beside(&config.http.listen, handed_in);
    let bad = config.check();
    if bad.is_empty() { Ok(config) } else { Err(ConfigError::Sockets(bad)) }
}

/// Raises the limit of descriptors as far as the system allows: each connection needs one, and the usual soft limit of 1,024 is for
/// programs that use select(2).
fn raise_descriptor_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => tracing::debug!(from = ?current, to = ?maximum, "descriptor limit raised"),
        Err(error) => tracing::warn!(limit = ?current, %error, "descriptor limit not raised"),
    }
}

/// The runtime. One worker is the calling thread itself, which saves waking another for every message.
fn runtime(workers: usize) -> io::Result<Runtime> {
    let mut builder = if workers == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if workers > 1 {
        builder.worker_threads(workers);
    }
    // Socket events are looked for after every second task, not after 61: beside a busy publisher others wait less. After every
    // one, it would be done between a connection and the actor, and delay each message by a system call.
    builder.event_interval(2).enable_all().build()
}

async fn serve(args: SettingsArgs, loaded: Loaded, log: Log, handed_in: Vec<HandedIn>) -> Result<(), Failure> {
    let signals = Signals::catch().context("cannot catch signals").or_exit(Exit::Io)?;
    let Config { listen, port_file, log: _, limits, outbox, replay, store, nodes, auth, tcp, unix, tls, http, runtime: _ } =
        loaded.config.clone();
    let settings = Settings { limits, outbox, replay, auth, tcp, unix, tls, http: http.settings() };
    let server = Server::bind_beside(&listen, handed_in, &settings).or_exit(Exit::Unavailable)?;
    let server = server.with_store(&store).map_err(|error| Failure { exit: exit_of(&error), error: error.into() })?;
    let server = server.with_nodes(&nodes, &settings).or_exit(Exit::Config)?;
    let (has_tokens, has_certificates) = (settings.auth.tokens.is_some(), settings.requires_certificates());
    let web = server.http_addresses();
    let spoken = server.addresses().iter().zip(&listen).map(|(address, asked)| Listen { address: address.clone(), ..asked.clone() });
    for (address, is_web) in spoken.map(|listen| (listen, false)).chain(web.iter().map(|address| (address.clone().into(), true))) {
        if is_web {
            tracing::info!(url = url(&address.address), "listening for HTTP");
        } else {
            tracing::info!(%address, "listening");
        }
        let (socket, is_encrypted) = match &address.address {
            Address::Tcp(socket) => (socket, false),
            Address::Tls(socket) => (socket, true),
            Address::Unix(_) => continue,
        };
        if socket.ip().to_canonical().is_loopback() {
            continue;
        }
        if !(has_tokens || is_encrypted && has_certificates) {
            tracing::warn!(%address, "anyone who can reach this address can read and write every stream: auth.allow_anonymous is set");
        } else if !is_encrypted {
            tracing::warn!(%address, "what goes over the network is not encrypted, tokens included: anyone on its way can read it");
        }
    }
    // Kept until the end, so that the file is removed only then.
    let _port_file = port_file.map(|path| PortFile::write(&path, server.addresses())).transpose().or_exit(Exit::Io)?;
    let _http_port_file = http.port_file.map(|path| PortFile::write(&path, &web)).transpose().or_exit(Exit::Io)?;

    let (shutdown, cut_short) = (CancellationToken::new(), CancellationToken::new());
    let reload = Reload::new(args, loaded, log, &server);
    tokio::spawn(signals.watch(shutdown.clone(), cut_short.clone(), reload.start(shutdown.clone())));
    tracing::debug!("ready");
    supervisor::tell(&[NotifyState::Ready]);
    tokio::spawn(supervisor::watch(server.pulse(), server.stats()));
    let draining = async move {
        shutdown.cancelled().await;
        supervisor::tell(&[NotifyState::Stopping]);
    };
    server.run(draining, async move { cut_short.cancelled().await }).await.or_exit(Exit::Internal)
}

/// Whoever starts the broker again after some time is told so if that may help.
fn exit_of(error: &StoreError) -> Exit {
    match error {
        StoreError::Held(_) => Exit::Unavailable,
        StoreError::Full(..) | StoreError::Io(..) => Exit::Io,
        StoreError::NoDirectory(_)
        | StoreError::Missing(_)
        | StoreError::Replaced(_)
        | StoreError::NotPermitted(..)
        | StoreError::ReadOnly(_)
        | StoreError::NotAStore(_)
        | StoreError::Newer(_)
        | StoreError::Damaged { .. }
        | StoreError::Running(_) => Exit::Config,
    }
}

/// What a person opens in a browser.
fn url(address: &Address) -> String {
    match address {
        Address::Tcp(socket) => format!("http://{socket}/"),
        Address::Tls(socket) => format!("https://{socket}/"),
        address => address.to_string(),
    }
}
