//! An encrypted connection of the generator, which is read and written like any other.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::tls::{PemFile, provider};

/// What all encrypted connections share.
pub(crate) type Encryption = Arc<ClientConfig>;

/// A TCP connection with TLS.
pub(crate) struct Encrypted {
    stream: StreamOwned<ClientConnection, TcpStream>,
    /// A read that could block gives what there is.
    blocks: bool,
}

/// The encryption towards a broker whose certificate is signed by this authority.
pub(crate) fn encryption(ca: &Path) -> Result<Encryption> {
    let roots = PemFile { path: ca, setting: "--ca" }.authorities()?;
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    // Each connection is to cost what the first one costs.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

impl Encrypted {
    /// Of a connected socket. The handshake is made as it is first written to.
    pub(crate) fn new(encryption: &Encryption, socket: TcpStream, address: SocketAddr) -> Result<Self> {
        let tls = ClientConnection::new(Arc::clone(encryption), ServerName::from(address.ip())).context("TLS")?;
        Ok(Self { stream: StreamOwned::new(tls, socket), blocks: true })
    }

    /// The socket below.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.stream.sock
    }

    /// From now on reads and writes do not wait.
    pub(crate) fn set_nonblocking(&mut self) -> io::Result<()> {
        self.blocks = false;
        self.socket().set_nonblocking(true)
    }

    /// Sends what was encrypted and not sent, as far as the socket takes it.
    pub(crate) fn flush_some(&mut self) -> io::Result<()> {
        while self.stream.conn.wants_write() {
            match self.stream.conn.write_tls(&mut self.stream.sock) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                written => drop(written?),
            }
        }
        Ok(())
    }
}

impl Read for Encrypted {
    /// Less than was asked for means that there is no more now.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match self.stream.read(&mut buffer[read..]) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if read == 0 => return Err(error),
                Err(_) => break,
            }
            if self.blocks {
                break;
            }
        }
        Ok(read)
    }
}

impl Write for Encrypted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
