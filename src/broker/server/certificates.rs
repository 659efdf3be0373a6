//! The certificates in use, and how they are exchanged for newer ones while the broker runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier};
use rustls::sign::SingleCertAndKey;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::broker::access::{Looks, Stamp};
use crate::broker::actor::Stats;
use crate::broker::settings::{ClientCertificates, TlsSettings};
use crate::tls::{PemFile, TlsError, certified_key, names_of, provider};

/// How often it is looked whether a file has changed. A change is taken up when the next look finds no further one, since a certificate
/// and its key are seldom written at the same moment.
const LOOK: Duration = Duration::from_secs(3);

/// Tickets of a session, which a client that comes back needs only one of.
const TICKETS: usize = 1;

/// The certificates that the server shows to new connections on its `tls://` addresses. Cheap to clone.
///
/// The server looks every few seconds whether a file has changed, so that a renewed certificate needs no restart.
///
/// ```
/// use msgstream::broker::{Certificates, TlsError};
///
/// /// On a signal, as well.
/// fn reload(certificates: Option<&Certificates>) -> Result<(), TlsError> {
///     certificates.map_or(Ok(()), Certificates::reload)
/// }
/// assert!(reload(None).is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct Certificates(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: TlsSettings,
    current: Mutex<Arc<ServerConfig>>,
    looks: Mutex<Looks<Vec<Option<Stamp>>>>,
    /// Held while the files are read, so that of two readings at once the later one counts.
    reading: Mutex<()>,
    /// Where it is told whether the files can be used.
    stats: OnceLock<Arc<Stats>>,
}

impl Certificates {
    /// Reads the files.
    pub(crate) fn load(settings: &TlsSettings) -> Result<Self, TlsError> {
        // Before they are read, so that no change is missed.
        let looks = Mutex::new(Looks::new(stamps(settings)));
        let current = Mutex::new(Arc::new(config(settings)?));
        Ok(Self(Arc::new(Shared { settings: settings.clone(), current, looks, reading: Mutex::default(), stats: OnceLock::new() })))
    }

    /// From now on it is counted whether the files can be used.
    pub(super) fn tell(&self, stats: &Arc<Stats>) {
        // A server has one place where it counts.
        let _ = self.0.stats.set(Arc::clone(stats));
    }

    /// What is wrong with the files, each of which is looked at. Nothing if they can be used. `is_needed`: there is an address that cannot do
    /// without them; else only those that are set are looked at.
    #[cfg(feature = "cli")]
    pub(crate) fn faults(settings: &TlsSettings, is_needed: bool) -> Vec<TlsError> {
        let is_used = |path: &Option<PathBuf>| is_needed || path.is_some();
        let certificate = is_used(&settings.certificate).then(|| needed(settings.certificate.as_ref(), "tls.certificate"));
        let key = is_used(&settings.key).then(|| needed(settings.key.as_ref(), "tls.key"));
        let (certificate, key) = match (certificate.transpose(), key.transpose()) {
            (Ok(certificate), Ok(key)) => (certificate, key),
            (certificate, key) => return certificate.err().into_iter().chain(key.err()).chain(verifier(settings).err()).collect(),
        };
        crate::tls::faults(certificate, key).into_iter().chain(verifier(settings).err()).collect()
    }

    /// Reads the files again. Connections that are made from now on get what is in them, and those that there are go on as they are.
    ///
    /// # Errors
    /// [`TlsError`] for the first file that cannot be used. Then everything stays as it was.
    ///
    /// ```no_run
    /// use msgstream::broker::{Server, Settings, TlsSettings};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let tls = TlsSettings::default().certificate("broker.pem".into()).key("broker-key.pem".into());
    /// let server = Server::bind(&["tls://127.0.0.1:0".parse()?], &Settings::default().tls(tls))?;
    /// let certificates = server.certificates().ok_or("there is a tls:// address")?;
    /// tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    /// certificates.reload()?;
    /// # Ok(()) }
    /// ```
    pub fn reload(&self) -> Result<(), TlsError> {
        let _alone = lock(&self.0.reading);
        lock(&self.0.looks).reads(stamps(&self.0.settings));
        let config = config(&self.0.settings).inspect_err(|_| lock(&self.0.looks).failed(Instant::now()));
        if let Some(stats) = self.0.stats.get() {
            stats.certificates_unusable.set(config.is_err().into());
        }
        let config = config?;
        *lock(&self.0.current) = Arc::new(config);
        Ok(())
    }

    /// What a new connection is to have.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&lock(&self.0.current))
    }

    /// Takes up changes of the files by itself, for as long as it is polled.
    pub(super) async fn follow(self) {
        loop {
            sleep(LOOK).await;
            let certificates = self.clone();
            // A disk may take its time, or be far away. A look that ends by a panic is followed by the next one.
            let _ = spawn_blocking(move || certificates.look()).await;
        }
    }

    /// Reads files that have changed since they were read, and not since the look before.
    fn look(&self) {
        let found = stamps(&self.0.settings);
        if !lock(&self.0.looks).is_due(found, Instant::now()) {
            return;
        }
        match self.reload() {
            Ok(()) => info!("certificates have changed: new connections get the new ones"),
            Err(error) => warn!(%error, "certificates have changed and cannot be used; going on with those before"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The files that are set.
fn files(settings: &TlsSettings) -> [Option<&PathBuf>; 3] {
    [settings.certificate.as_ref(), settings.key.as_ref(), settings.client_ca.as_ref()]
}

fn stamps(settings: &TlsSettings) -> Vec<Option<Stamp>> {
    files(settings).into_iter().flatten().map(|path| Stamp::of(path)).collect()
}

/// A setting's file, or the fault that there is none.
fn needed<'s>(path: Option<&'s PathBuf>, setting: &'s str) -> Result<PemFile<'s>, TlsError> {
    let path = path.map(PathBuf::as_path);
    let is_other = path.is_some_and(|path| std::fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir()));
    if let Some(path) = path.filter(|_| is_other) {
        // Whoever writes into a pipe may take its time.
        return Err(PemFile { path, setting }.fault("it is no regular file; name one that can be read again"));
    }
    let why = "none is set, and an address with tls:// needs it; name a file in PEM";
    path.map(|path| PemFile { path, setting }).ok_or_else(|| PemFile { path: "no file".as_ref(), setting }.fault(why))
}

fn config(settings: &TlsSettings) -> Result<ServerConfig, TlsError> {
    let certificate = needed(settings.certificate.as_ref(), "tls.certificate")?;
    let key = needed(settings.key.as_ref(), "tls.key")?;
    let own = certified_key(certificate, key)?;
    if key.is_open_to_all() {
        warn!(file = %key.path.display(), "every user of this machine can read the broker's private key (tls.key); take that right away with \"chmod o-r\"");
    }
    let names = own.cert.first().map(|own| names_of(own)).unwrap_or_default().join(", ");
    info!(file = %certificate.path.display(), names, "certificate read");
    let verifier = verifier(settings)?;
    // Only the two versions that are not broken: 1.2 and 1.3.
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| certificate.fault(error.to_string()))?;
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
    config.send_tls13_tickets = TICKETS;
    if settings.client_certificates != ClientCertificates::Off {
        // A session that goes on would not show the client's certificate again, which may have expired since.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
    }
    Ok(config)
}

fn verifier(settings: &TlsSettings) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let is_required = match settings.client_certificates {
        ClientCertificates::Off => return Ok(Arc::new(NoClientAuth)),
        ClientCertificates::Optional => false,
        ClientCertificates::Required => true,
    };
    let file = needed(settings.client_ca.as_ref(), "tls.client_ca")?;
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(file.authorities()?), provider());
    let builder = if is_required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| file.fault(error.to_string())).map(|verifier| verifier as Arc<dyn ClientCertVerifier>)
}
