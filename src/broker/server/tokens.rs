//! The way from a running server to who may do what there.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::WeakUnboundedSender;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::broker::access::{Access, Reloaded, TokensError};
use crate::broker::actor::{Command, Mailbox, Stats};
use crate::broker::settings::Settings;
use crate::wire::Listen;
use crate::wire::ids::ConnectionId;

use super::listening_socket::BindError;

/// Who is let in on these addresses, if not everybody is. An error if nobody would have to say who they are where others could reach it.
pub(super) fn access(listen: &[Listen], settings: &Settings, most_connections: usize) -> Result<Option<Arc<Access>>, BindError> {
    let not_here = |listen: &Listen, error| BindError::new(listen.address.clone(), error);
    let refused = |listen| settings.auth.refusal(listen, settings.requires_certificates());
    if let Some((listen, reason)) = listen.iter().find_map(|listen| Some((listen, refused(listen)?))) {
        return Err(not_here(listen, io::Error::new(io::ErrorKind::PermissionDenied, reason)));
    }
    let (Some(file), Some(first)) = (&settings.auth.tokens, listen.first()) else { return Ok(None) };
    let access = Access::load(file, settings.auth.most_waiting(most_connections));
    access.map(Some).map_err(|error| not_here(first, io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// How often it is looked whether a token has expired or the file has changed.
const PAUSE: Duration = Duration::from_secs(1);

/// A look at the file that takes longer is told, ...
const LONGEST_LOOK: Duration = Duration::from_secs(10);
/// ... and again each time that so much more has passed.
const STILL_TOO_LONG: Duration = Duration::from_secs(60);

/// The most reasons of ended connections that one line of the log has.
const MOST_NAMED: usize = 10;

/// Who may do what on a running server: the file of `auth.tokens`, which can be read again while it runs. Cheap to clone.
///
/// ```
/// use msgstream::broker::{AuthSettings, Server, Settings};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let file = std::env::temp_dir().join(format!("msgstream-tokens-{}.toml", std::process::id()));
/// std::fs::write(&file, "[me]\nunix_user = 1000\nlisten = [\"\"]\n")?;
/// let settings = Settings::default().auth(AuthSettings::default().tokens(&file));
/// let server = Server::bind(&["127.0.0.1:0".parse()?], &settings)?;
/// let tokens = server.tokens().ok_or("without a file everybody may do everything")?;
/// assert_eq!(tokens.file(), file);
///
/// std::fs::write(&file, "[me]\nunix_user = 1000\nlisten = [\"fit-\"]\n")?;
/// assert_eq!(tokens.reload()?.identities, 1);
/// std::fs::write(&file, "[me]\nunix_user = yes\n")?;
/// assert!(tokens.reload().is_err(), "what there was stays");
/// # std::fs::remove_file(file)?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Tokens {
    access: Arc<Access>,
    mailbox: WeakUnboundedSender<Command>,
    stats: Arc<Stats>,
}

impl Tokens {
    pub(super) fn new(access: Arc<Access>, mailbox: &Mailbox, stats: Arc<Stats>) -> Self {
        Self { access, mailbox: mailbox.downgrade(), stats }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        self.access.file()
    }

    /// Reads the file again. What it says counts at once: a connection whose token it does not name any more, or whose token has lost a
    /// right or has expired, is ended with the code `auth_failed`. Rights that are new count for connections made from now on.
    ///
    /// # Errors
    /// [`TokensError`] if the file cannot be used; then all stays as it was. So it does if the file may be half written: if nobody is in it
    /// any more, or its last line has no end.
    pub fn reload(&self) -> Result<Reloaded, TokensError> {
        let mut reasons = BTreeSet::new();
        let reloaded = self.access.reload((Instant::now(), SystemTime::now()), |id, reason| {
            if reasons.len() <= MOST_NAMED {
                reasons.insert(reason.clone());
            }
            self.expel(id, reason);
        });
        self.stats.tokens_unusable.set(reloaded.is_err().into());
        let reloaded = reloaded?;
        let (file, Reloaded { identities, ended }) = (self.file().display(), reloaded);
        if ended == 0 {
            info!(%file, identities, ended, "tokens read again");
        } else {
            let more = if reasons.len() > MOST_NAMED { ", and others" } else { "" };
            let reasons = reasons.into_iter().take(MOST_NAMED).collect::<Vec<_>>().join(", ") + more;
            warn!(%file, identities, ended, reasons, "tokens read again, and connections ended");
        }
        Ok(reloaded)
    }

    /// Reads the file again when it has changed, and ends connections whose tokens expire, until the server stops.
    pub(super) async fn watch(self, stop: CancellationToken) {
        let mut looking: Option<JoinHandle<()>> = None;
        // When it is to be said that the look takes too long.
        let mut too_long = Instant::now() + LONGEST_LOOK;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep(PAUSE) => {}
            }
            // A disk that does not answer must hold up nobody.
            if looking.as_ref().is_none_or(JoinHandle::is_finished) {
                let tokens = self.clone();
                looking = Some(spawn_blocking(move || tokens.reload_if_changed()));
                too_long = Instant::now() + LONGEST_LOOK;
            } else if Instant::now() >= too_long {
                too_long = Instant::now() + STILL_TOO_LONG;
                error!(file = %self.file().display(), "the file of the tokens does not answer; what it said before still counts");
            }
            self.access.expire(SystemTime::now(), |id, reason| {
                info!(connection = id.0, reason, "connection ended");
                self.expel(id, reason);
            });
        }
    }

    fn reload_if_changed(&self) {
        if self.access.has_changed(Instant::now())
            && let Err(error) = self.reload()
        {
            error!(error = error.line(), "tokens not read again; what they said before still counts");
        }
    }

    /// The connection still has its id, since it gives it back behind the same lock.
    fn expel(&self, id: ConnectionId, reason: String) {
        if let Some(mailbox) = self.mailbox.upgrade() {
            // If the actor is gone, so are all connections.
            let _ = mailbox.send(Command::Expel(id, reason));
        }
    }
}
