//! From settings to how NATS is called: all that can be checked without a network.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};

use crate::broker::settings::NodesSettings;
use crate::tls::{PemFile, TlsError, certified_key, cure, provider};

use super::error::NatsError;

/// A server that does not answer for this long is not there: another may be.
const CONNECTING: Duration = Duration::from_secs(2);

/// A connection on which nothing is heard is asked this often; the third time without an answer it is given up.
const PING: Duration = Duration::from_secs(2);

/// The longest pause before a server is called again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What waits to be sent, in messages. It is little, so that nothing piles up while there is no connection.
const WAITING: usize = 64;

/// What was received and waits to be looked at, in messages. The server sends 32 MiB at most before it asks whether that has come, and a
/// message has more than 128 bytes there.
const UNREAD: usize = 1 << 18;

/// The smallest log, in bytes: room for a record of any size.
const SMALLEST_LOG: usize = 1 << 20;

/// How NATS is called.
pub(super) struct Options {
    pub(super) connect: ConnectOptions,
    pub(super) servers: Vec<ServerAddr>,
}

impl Options {
    pub(super) fn of(settings: &NodesSettings) -> Result<Self, NatsError> {
        if ![1, 3, 5].contains(&settings.replicas) {
            return Err(NatsError::Replicas(settings.replicas));
        }
        if settings.log.0 < SMALLEST_LOG {
            return Err(NatsError::Log(settings.log.0));
        }
        let servers = settings.nats.iter().map(|text| address(text)).collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            return Err(NatsError::NoAddress);
        }
        // Whoever names certificates, or nothing but encrypted servers, means it: also of servers that are heard of later.
        let is_encrypted = settings.ca.is_some() || settings.certificate.is_some() || servers.iter().all(ServerAddr::tls_required);
        let connect = match &settings.credentials {
            Some(path) => with_credentials(path)?,
            None => ConnectOptions::new(),
        };
        let connect = connect
            .name(format!("msgstream {} {}", settings.space, settings.name))
            .require_tls(is_encrypted)
            .tls_client_config(encryption(settings)?)
            .retry_on_initial_connect()
            .connection_timeout(CONNECTING)
            .ping_interval(PING)
            .reconnect_delay_callback(pause)
            .client_capacity(WAITING)
            .subscription_capacity(UNREAD);
        Ok(Self { connect, servers })
    }
}

/// How long to wait before the next call, after so many.
fn pause(calls: usize) -> Duration {
    match calls {
        0 | 1 => Duration::ZERO,
        _ => LONGEST_PAUSE.min(Duration::from_millis(10 << calls.min(10))),
    }
}

fn address(text: &str) -> Result<ServerAddr, NatsError> {
    let address: ServerAddr = text.parse().map_err(|error| NatsError::address(text, error))?;
    match address.scheme() {
        _ if address.has_user_pass() => {
            Err(NatsError::address(text, "a name and a password do not belong in it, but in a file (nodes.credentials)"))
        }
        "nats" | "tls" if !address.host().is_empty() => Ok(address),
        "nats" | "tls" => Err(NatsError::address(text, "there is no host in it")),
        _ => Err(NatsError::address(text, "it is of another kind")),
    }
}

fn with_credentials(path: &Path) -> Result<ConnectOptions, NatsError> {
    let text = fs::read_to_string(path).map_err(|error| NatsError::credentials(path, format!("{error}{}", cure(&error))))?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let alone = lines.next().filter(|_| lines.next().is_none()).unwrap_or_default();
    if is_seed(alone) {
        return Ok(ConnectOptions::with_nkey(alone.to_owned()));
    }
    if let Some((name, password)) = alone.split_once(':') {
        return Ok(ConnectOptions::with_user_and_password(name.to_owned(), password.to_owned()));
    }
    // What the library says of it could repeat a secret.
    ConnectOptions::with_credentials(&text).map_err(|_| {
        NatsError::credentials(path, "it is none of credentials of \"nsc generate creds\", a seed of an nkey, and a line of NAME:PASSWORD")
    })
}

/// Whether it is the secret half of a user's nkey.
fn is_seed(text: &str) -> bool {
    text.len() == 58 && text.starts_with("SU") && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn encryption(settings: &NodesSettings) -> Result<ClientConfig, NatsError> {
    let roots = match &settings.ca {
        Some(path) => PemFile { path, setting: "nodes.ca" }.authorities()?,
        None => of_the_system(),
    };
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let fault = |error: rustls::Error| PemFile { path: "the cryptography".as_ref(), setting: "aws-lc" }.fault(error.to_string());
    let builder = builder.map_err(fault)?.with_root_certificates(roots);
    let own = match (&settings.certificate, &settings.key) {
        (None, None) => return Ok(builder.with_no_client_auth()),
        (Some(certificate), key) => own(certificate, key.as_ref().unwrap_or(certificate))?,
        (None, Some(path)) => {
            let reason = "there is no certificate to go with the key; name it (nodes.certificate)";
            return Err(PemFile { path, setting: "nodes.key" }.fault(reason).into());
        }
    };
    Ok(builder.with_client_cert_resolver(Arc::new(own)))
}

fn own(certificate: &Path, key: &Path) -> Result<SingleCertAndKey, TlsError> {
    let (certificate, key) = (PemFile { path: certificate, setting: "nodes.certificate" }, PemFile { path: key, setting: "nodes.key" });
    certified_key(certificate, key).map(SingleCertAndKey::from)
}

/// The authorities that the system knows. If there are none, it is the connection that fails, if it is encrypted at all.
fn of_the_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// What is wrong with the addresses and with the files, each of which is looked at. Nothing if this broker is on its own.
#[cfg(feature = "cli")]
pub(crate) fn faults(settings: &NodesSettings) -> Vec<NatsError> {
    if !settings.is_on() {
        return Vec::new();
    }
    let addresses = settings.nats.iter().filter_map(|text| address(text).err());
    let credentials = settings.credentials.as_deref().and_then(|path| with_credentials(path).err());
    let ca = settings.ca.as_ref().and_then(|path| PemFile { path, setting: "nodes.ca" }.authorities().err());
    let named = |path, setting| PemFile { path, setting };
    let certificate = settings.certificate.as_ref().map(|path| named(path, "nodes.certificate"));
    let own = crate::tls::faults(certificate, settings.key.as_ref().map(|path| named(path, "nodes.key")));
    addresses.chain(credentials).chain(ca.into_iter().chain(own).map(NatsError::from)).collect()
}

#[cfg(test)]
mod tests {
    use crate::wire::units::ByteSize;

    use super::*;

    fn fault(settings: &NodesSettings) -> String {
        Options::of(settings).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_is_wrong_is_told_with_the_setting() {
        let good = || NodesSettings::on(["nats://127.0.0.1:4222", "tls://[::1]:4223"]);
        assert_eq!(fault(&good()), "");
        let cases = [
            (NodesSettings::default(), "nodes.nats"),
            (NodesSettings::on(["ws://127.0.0.1"]), "nodes.nats"),
            (NodesSettings::on(["nats://"]), "nodes.nats"),
            (NodesSettings::on(["nats://me:secret@127.0.0.1"]), "nodes.credentials"),
            (good().replicas(2), "nodes.replicas"),
            (good().log(ByteSize(1000)), "nodes.log"),
            (good().credentials(Path::new("/nowhere/a.creds").to_owned()), "/nowhere/a.creds (nodes.credentials)"),
            (good().ca(Path::new("/nowhere/ca.pem").to_owned()), "/nowhere/ca.pem (nodes.ca)"),
            (good().certificate(Path::new("/nowhere/node.pem").to_owned()), "/nowhere/node.pem (nodes.certificate)"),
            (good().key(Path::new("/nowhere/key.pem").to_owned()), "name it (nodes.certificate)"),
        ];
        for (settings, told) in cases {
            let fault = fault(&settings);
            assert!(fault.contains(told), "{fault:?}, not {told:?}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_repeated() {
        let fault = fault(&NodesSettings::on(["http://me:secret@127.0.0.1"]));
        assert!(fault.contains("127.0.0.1") && !fault.contains("secret"), "{fault}");
    }

    #[test]
    fn credentials_have_three_forms() {
        let path = std::env::temp_dir().join(format!("msgstream-credentials-{}", std::process::id()));
        let seed = format!("SU{}\n", "A".repeat(56));
        let token = "-----BEGIN NATS USER JWT-----\neyJ0\n------END NATS USER JWT------\n";
        let key = format!(
            "-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            "SUACH75SWCM5D2JMJM6EKLR2WDARVGZT4QC6LX3AGHSWOMVAKERABBBRWM"
        );
        for (text, told) in
            [("me:secret\n", ""), (&*seed, ""), (&*format!("{token}\n{key}"), ""), ("secret", "NAME:PASSWORD"), (token, "NAME:PASSWORD")]
        {
            fs::write(&path, text).unwrap();
            let fault = fault(&NodesSettings::on(["nats://127.0.0.1"]).credentials(path.clone()));
            assert!(fault.contains(told) && fault.is_empty() == told.is_empty() && !fault.contains("secret"), "{fault}");
        }
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn pauses_grow_up_to_a_second() {
        let pauses: Vec<_> = (1..6).map(|calls| pause(calls).as_millis()).collect();
        assert_eq!((pauses, pause(1000)), (vec![0, 40, 80, 160, 320], LONGEST_PAUSE));
    }
}
