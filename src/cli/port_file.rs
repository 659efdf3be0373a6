//! A file that tells which ports the broker got, for programs that start it on port 0.

use std::fs;
use std::path::{Path, PathBuf};

use crate::wire::Address;
use anyhow::Context;

/// A port file. It is removed when this is dropped, so that it stands only while the broker listens.
#[derive(Debug)]
pub(crate) struct PortFile(PathBuf);

impl PortFile {
    /// Writes the ports of the TCP and TLS addresses, one a line, in the order of `listen`.
    ///
    /// The file appears whole or not at all: once it exists it can be read.
    pub(crate) fn write(path: &Path, addresses: &[Address]) -> anyhow::Result<Self> {
        let lines = addresses.iter().filter_map(Address::socket).map(|address| format!("{}\n", address.port()));
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(format!(".{}.tmp", std::process::id()));
        let unfinished = PathBuf::from(unfinished);
        let written = fs::write(&unfinished, lines.collect::<String>()).and_then(|()| fs::rename(&unfinished, path));
        if written.is_err() {
            // It may not even have been created.
            let _ = fs::remove_file(&unfinished);
        }
        written.with_context(|| format!("cannot write the port file {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PortFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "port file not removed");
        }
    }
}
