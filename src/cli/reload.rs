//! A configuration that is read again while the broker runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::broker::{Certificates, Control, Server, Tokens};
use crate::cli::config::{Config, ConfigError, Problem};
use crate::wire::units::Span;

use super::log::Log;
use super::settings::{Loaded, SettingsArgs};
use super::supervisor;

/// What is in force, and how to change it.
pub(crate) struct Reload {
    args: SettingsArgs,
    loaded: Loaded,
    log: Log,
    control: Control,
    certificates: Option<Certificates>,
    tokens: Option<Tokens>,
    /// A reading that did not end in time.
    hangs: Option<JoinHandle<()>>,
}

/// How long the files may take to be read. After that nothing is reloaded, and the broker says so.
const TIME: Duration = Duration::from_secs(10);

impl Reload {
    pub(crate) fn new(args: SettingsArgs, loaded: Loaded, log: Log, server: &Server) -> Self {
        Self { args, loaded, log, control: server.control(), certificates: server.certificates(), tokens: server.tokens(), hangs: None }
    }

    /// From now on the configuration is read again whenever what this returns is notified, until the broker is to stop.
    pub(crate) fn start(mut self, shutdown: CancellationToken) -> Arc<Notify> {
        let asked = Arc::new(Notify::new());
        let waits = Arc::clone(&asked);
        let reloads = async move {
            loop {
                waits.notified().await;
                supervisor::reloading(self.read_again()).await;
            }
        };
        tokio::spawn(shutdown.run_until_cancelled_owned(reloads));
        asked
    }

    async fn read_again(&mut self) {
        if self.hangs.as_ref().is_some_and(|hangs| !hangs.is_finished()) {
            return error!("nothing is reloaded: a file does not answer since it was to be read before");
        }
        let (args, certificates, tokens) = (self.args.clone(), self.certificates.clone(), self.tokens.clone());
        // The files may be such that take long to read.
        let (reads, read) = oneshot::channel();
        let reading = spawn_blocking(move || {
            let certificates = certificates.map(|certificates| certificates.reload()).transpose().map(drop);
            let tokens = tokens.map(|tokens| tokens.reload()).transpose().map(drop);
            // Nobody waits for it any more if it took too long.
            let _ = reads.send((args.load(), certificates, tokens));
        });
        let (read, certificates, tokens) = match timeout(TIME, read).await {
            Ok(Ok(read)) => read,
            Ok(Err(_)) => return error!("nothing is reloaded: this is a bug, please report it"),
            Err(_) => {
                self.hangs = Some(reading);
                let reason =
                    format!("a file took longer than {} to be read; tokens and certificates count once they have been", Span(TIME));
                return error!(reason, "the configuration is not reloaded, and stays as it was");
            }
        };
        if let Err(error) = certificates {
            error!(reason = error.to_string(), "the certificates are not reloaded, and stay as they were");
        }
        if let Err(error) = tokens {
            error!(reason = error.line(), "the tokens are not reloaded, and stay as they were");
        }
        match read.and_then(|read| self.apply(read)) {
            Ok(()) => {}
            Err(error) => {
                for reason in reasons(&error) {
                    error!(reason, "the configuration is not reloaded, and stays as it was");
                }
            }
        }
    }

    fn apply(&mut self, read: Loaded) -> Result<(), ConfigError> {
        // What needs a restart stays, and what changes must fit to that.
        let old = &self.loaded.config;
        let mut config = Config { limits: read.config.limits, ..old.clone() };
        config.log.level = read.config.log.level;
        let bad = config.check();
        if !bad.is_empty() {
            let problem = |bad: crate::cli::config::BadValue| {
                let setting = read.settings.iter().find(|setting| setting.key == bad.key);
                let origin = setting.map_or_else(String::new, |setting| setting.origin.clone());
                let reason = format!("{}; or restart, if it depends on a setting that needs that", bad.reason);
                Problem::BadValue { key: bad.key.to_owned(), value: bad.value, origin, reason }
            };
            return Err(ConfigError::Invalid(bad.into_iter().map(problem).collect()));
        }
        let (mut changed, mut waiting) = (Vec::new(), Vec::new());
        for (old, new) in self.loaded.settings.iter_mut().zip(read.settings) {
            if old.value == new.value {
                continue;
            }
            if is_live(old.key) {
                changed.push(format!("{} = {}", new.key, new.value));
                *old = new;
            } else {
                waiting.push(old.key);
            }
        }
        self.log.set_level(config.log.level);
        if config.limits != old.limits {
            self.control.set_limits(&config.limits);
        }
        self.loaded.config = config;
        info!(changed = changed.join(", "), "configuration reloaded");
        if !waiting.is_empty() {
            warn!(settings = waiting.join(", "), "these settings have changed and need a restart");
        }
        Ok(())
    }
}

/// Whether a setting changes without a restart.
fn is_live(key: &str) -> bool {
    key == "log.level" || key.starts_with("limits.")
}

/// Each thing that is wrong, as one line.
fn reasons(error: &ConfigError) -> Vec<String> {
    match error {
        ConfigError::Invalid(problems) => problems.iter().map(ToString::to_string).collect(),
        other => vec![other.to_string().replace('\n', " ")],
    }
}
