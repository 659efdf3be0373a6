//! Files of certificates and keys. Each error names the file, the setting that it comes from, and the cure.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};

use super::provider;
use crate::wire::showable;

/// The longest file that is read, in bytes: all authorities of a system are a quarter of a megabyte.
const LONGEST: u64 = 16 << 20;

/// A file of certificates or keys that cannot be used, and what would be right.
///
/// ```
/// use msgstream::broker::{Server, Settings, TlsSettings};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = TlsSettings::default().certificate("/nowhere/broker.pem".into()).key("/nowhere/key.pem".into());
/// let error = Server::bind(&["tls://127.0.0.1:0".parse()?], &Settings::default().tls(tls)).err().ok_or("no certificate is needed")?;
/// assert!(error.to_string().contains("/nowhere/broker.pem (tls.certificate)"), "{error}");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot use {} ({setting}): {reason}", showable(&file.to_string_lossy()))]
pub struct TlsError {
    file: PathBuf,
    setting: String,
    reason: String,
}

/// A file, and how the people who named it call it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PemFile<'f> {
    pub(crate) path: &'f Path,
    pub(crate) setting: &'f str,
}

impl PemFile<'_> {
    pub(crate) fn fault(&self, reason: impl Into<String>) -> TlsError {
        TlsError { file: self.path.to_owned(), setting: self.setting.to_owned(), reason: reason.into() }
    }

    fn read(&self) -> Result<Vec<u8>, TlsError> {
        let mut bytes = Vec::new();
        let read = File::open(self.path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
        match read {
            Ok(read) if read as u64 > LONGEST => Err(self.fault("it is longer than 16 MiB, and so no file of certificates")),
            Ok(_) => Ok(bytes),
            Err(error) => Err(self.fault(format!("{error}{}", cure(&error)))),
        }
    }

    /// The certificates of a file, of which there is one at least.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let bytes = self.read()?;
        let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|error| self.bad_pem(&error))?;
        match bytes.first() {
            _ if !certificates.is_empty() => Ok(certificates),
            // A DER sequence.
            Some(0x30) => Err(self.fault("it is in DER; convert it to PEM with \"openssl x509 -inform der\"")),
            _ => Err(self.fault("there is no certificate in it; write it as PEM, between lines of \"-----BEGIN CERTIFICATE-----\" and \"-----END CERTIFICATE-----\"")),
        }
    }

    /// Authorities that certificates are trusted by.
    pub(crate) fn authorities(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|error| self.fault(format!("a certificate in it is no authority's: {error}")))?;
        }
        Ok(roots)
    }

    /// The first private key in the file.
    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let bytes = self.read()?;
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
            pem::Error::NoItemsFound if memchr::memmem::find(&bytes, b"ENCRYPTED PRIVATE KEY").is_some() => self.fault(
                "the key is encrypted, and nobody is there to be asked for its password; write it without one with \"openssl pkey\", for this user alone to read",
            ),
            pem::Error::NoItemsFound => {
                self.fault("there is no private key in it; write it as PEM, between lines of \"-----BEGIN PRIVATE KEY-----\" and \"-----END PRIVATE KEY-----\"")
            }
            error => self.bad_pem(&error),
        })
    }

    fn bad_pem(&self, error: &pem::Error) -> TlsError {
        self.fault(format!("it is not PEM: {error}"))
    }

    /// Whether every user of this machine can read it.
    #[cfg(feature = "broker")]
    pub(crate) fn is_open_to_all(&self) -> bool {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(self.path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
    }
}

/// A certificate with those that lead to its authority, and its key.
pub(crate) fn certified_key(certificate: PemFile<'_>, key: PemFile<'_>) -> Result<CertifiedKey, TlsError> {
    let chain = certificate.certificates()?;
    CertifiedKey::from_der(chain, key.key()?, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => key.fault(format!(
            "it is not the key of the certificate in {}, of which the owner's comes first; put both in place together",
            certificate.path.display()
        )),
        rustls::Error::InvalidCertificate(error) => certificate.fault(format!("its first certificate cannot be read: {error}")),
        error => key.fault(format!("the key is of a kind that cannot be used here: {error}; use ECDSA (P-256), Ed25519 or RSA")),
    })
}

/// What is wrong with a certificate and its key, as far as they are named. Nothing if they can be used.
#[cfg(feature = "cli")]
pub(crate) fn faults(certificate: Option<PemFile<'_>>, key: Option<PemFile<'_>>) -> Vec<TlsError> {
    let certificates = certificate.and_then(|certificate| certificate.certificates().err());
    let faults: Vec<_> = certificates.into_iter().chain(key.and_then(|key| key.key().err())).collect();
    match (certificate, key) {
        (Some(certificate), Some(key)) if faults.is_empty() => certified_key(certificate, key).err().into_iter().collect(),
        _ => faults,
    }
}

/// What to do about a file that cannot be read, behind what the system says.
pub(crate) fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; check the path",
        io::ErrorKind::PermissionDenied => "; let the user that this program runs as read it",
        io::ErrorKind::IsADirectory => "; name the file in it",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_the_cure() {
        let folder = std::env::temp_dir().join(format!("msgstream-files-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let (good, other) = (certificate.pem(), KeyPair::generate().unwrap().serialize_pem());
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let half = &good[..good.len() / 2];
        let der = certificate.der().to_vec();
        let cases: [(&[u8], &[u8], &str); 8] = [
            (good.as_bytes(), other.as_bytes(), "key.pem (tls.key): it is not the key of the certificate"),
            (good.as_bytes(), b"", "key.pem (tls.key): there is no private key in it"),
            (good.as_bytes(), encrypted.as_bytes(), "key.pem (tls.key): the key is encrypted"),
            (good.as_bytes(), good.as_bytes(), "key.pem (tls.key): there is no private key in it"),
            (b"", other.as_bytes(), "broker.pem (tls.certificate): there is no certificate in it"),
            (half.as_bytes(), other.as_bytes(), "broker.pem (tls.certificate): it is not PEM"),
            (&der, other.as_bytes(), "broker.pem (tls.certificate): it is in DER"),
            (other.as_bytes(), other.as_bytes(), "broker.pem (tls.certificate): there is no certificate in it"),
        ];
        for (first, second, told) in cases {
            let paths = (folder.join("broker.pem"), folder.join("key.pem"));
            fs::write(&paths.0, first).unwrap();
            fs::write(&paths.1, second).unwrap();
            let files = (PemFile { path: &paths.0, setting: "tls.certificate" }, PemFile { path: &paths.1, setting: "tls.key" });
            let error = certified_key(files.0, files.1).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let missing = PemFile { path: &folder.join("nothing.pem"), setting: "tls.client_ca" }.authorities().unwrap_err().to_string();
        assert!(missing.contains("nothing.pem (tls.client_ca): ") && missing.ends_with("check the path"), "{missing}");
        let pasted = PemFile { path: Path::new("-----BEGIN PRIVATE KEY-----\nsecret"), setting: "tls.key" }.key().unwrap_err().to_string();
        assert!(pasted.contains("(tls.key): ") && !pasted.contains("secret"), "{pasted}");
        fs::remove_dir_all(folder).unwrap();
    }
}
