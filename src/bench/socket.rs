//! Connections of the generator: made and greeted one after the other, blocking; then driven by readiness.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::wire::Address;
use anyhow::{Context, Result, bail};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::carried::Carried;
use super::encrypted::Encrypted;
use super::plan::Plan;
use super::wire::{Dialect, Unit};

/// A connection.
pub(crate) enum Socket {
    /// TCP, with `TCP_NODELAY`.
    Tcp(TcpStream),
    /// The same, encrypted.
    Tls(Box<Encrypted>),
    /// A Unix socket.
    Unix(UnixStream),
    /// TCP, with something between it and the protocol.
    Carried(Box<Carried>),
}

impl Socket {
    /// Connects, says hello and what else is to be said, and waits for the answer that proves it to have taken effect.
    ///
    /// # Errors
    /// If the broker cannot be reached, refuses, or does not answer in time.
    pub(crate) fn open(plan: &Plan, words: &[Vec<u8>]) -> Result<Self> {
        let mut socket = Self::connect(plan)?;
        let ping = plan.wire.ping();
        let says = [&plan.wire.hello()[..], &words.concat(), &ping].concat();
        socket.write_all(&says).context("the broker closed the connection")?;
        // The relay has no ping: it answers those who listen.
        if !ping.is_empty() || !words.is_empty() {
            socket.await_pong(plan.wire, plan.timeout)?;
        }
        Ok(socket)
    }

    /// Connects.
    ///
    /// # Errors
    /// If the broker cannot be reached.
    pub(super) fn connect(plan: &Plan) -> Result<Self> {
        let (address, timeout) = (&plan.server, plan.timeout);
        let whom = || format!("no connection to {address}");
        let tcp = |address| {
            let stream = TcpStream::connect_timeout(address, timeout).with_context(whom)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(timeout))?;
            stream.set_write_timeout(Some(timeout))?;
            Ok::<_, anyhow::Error>(stream)
        };
        let socket = match address {
            Address::Tcp(address) => Self::Tcp(tcp(address)?),
            Address::Tls(socket) => {
                let encryption =
                    plan.encryption.as_ref().with_context(|| format!("{address} speaks TLS: name the file of its authority with --ca"))?;
                let mut stream = tcp(socket)?;
                if plan.wire.is_greeted_in_clear() {
                    skip_line(&mut stream).with_context(whom)?;
                }
                Self::Tls(Box::new(Encrypted::new(encryption, stream, *socket)?))
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).with_context(whom)?;
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                Self::Unix(stream)
            }
        };
        Ok(socket)
    }

    /// Reads, blocking, until the broker has answered a ping.
    ///
    /// # Errors
    /// If it does not in time, or refuses.
    pub(super) fn await_pong(&mut self, wire: &dyn Dialect, timeout: Duration) -> Result<()> {
        let (mut carry, mut scratch) = (Vec::new(), [0; 4096]);
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            let read = match self.read(&mut scratch) {
                Ok(0) => bail!("the broker closed the connection: {}", String::from_utf8_lossy(&carry)),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            };
            carry.extend_from_slice(&scratch[..read]);
            let answers = Answers::take(wire, &mut carry)?;
            if answers.pings > 0 {
                self.write_all(wire.pong())?;
            }
            if answers.pongs > 0 {
                return Ok(());
            }
        }
        bail!("no answer from the broker within {timeout:?}")
    }

    /// Makes it non-blocking and has its readiness reported, as edges.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> Result<()> {
        self.set_nonblocking()?;
        Ok(registry.register(&mut SourceFd(&self.descriptor()), token, interest)?)
    }

    /// Makes it non-blocking.
    pub(crate) fn set_nonblocking(&mut self) -> Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(true)?,
            Self::Tls(stream) => stream.set_nonblocking()?,
            Self::Carried(stream) => stream.set_nonblocking()?,
            Self::Unix(stream) => stream.set_nonblocking(true)?,
        }
        Ok(())
    }

    /// Sets how long a read or a write may wait, where the socket blocks.
    pub(crate) fn set_patience(&self, patience: Duration) -> Result<()> {
        let tcp = |stream: &TcpStream| {
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(patience))
        };
        match self {
            Self::Tcp(stream) => tcp(stream)?,
            Self::Tls(stream) => tcp(stream.socket())?,
            Self::Carried(stream) => tcp(stream.socket())?,
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
            }
        }
        Ok(())
    }

    /// Reads what is there, or says that nothing is (`None`).
    ///
    /// # Errors
    /// If the connection is broken or at its end.
    pub(crate) fn read_some(&mut self, scratch: &mut [u8]) -> Result<Option<usize>> {
        loop {
            match self.read(scratch) {
                Ok(0) => bail!("the broker closed a connection"),
                Ok(read) => return Ok(Some(read)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("the broker broke a connection"),
            }
        }
    }

    /// Writes what fits, perhaps nothing.
    ///
    /// # Errors
    /// If the connection is broken.
    pub(crate) fn write_some(&mut self, bytes: &[u8]) -> Result<usize> {
        match self.write(bytes) {
            Ok(written) => Ok(written),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
            Err(error) => Err(error).context("the broker broke a connection"),
        }
    }

    /// Sends what it has taken and not sent, as far as that goes. An edge tells when it goes on.
    ///
    /// # Errors
    /// If the connection is broken.
    pub(crate) fn flush_some(&mut self) -> Result<()> {
        match self {
            Self::Tls(stream) => stream.flush_some().context("the broker broke a connection"),
            Self::Carried(stream) => stream.flush_some().context("the broker broke a connection"),
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
        }
    }

    fn descriptor(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Tls(stream) => stream.socket().as_raw_fd(),
            Self::Carried(stream) => stream.socket().as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        }
    }
}

/// Reads up to the end of a line, and nothing behind it.
fn skip_line(stream: &mut TcpStream) -> io::Result<()> {
    let mut byte = [0];
    while byte != *b"\n" {
        stream.read_exact(&mut byte)?;
    }
    Ok(())
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
            Self::Carried(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
            Self::Carried(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a broker has answered, counted.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Publications that were answered.
    pub(crate) published: u64,
    /// Answers to pings.
    pub(crate) pongs: u64,
    /// Pings that want an answer.
    pub(crate) pings: u64,
    /// Messages and headers.
    pub(crate) delivered: u64,
}

impl Answers {
    /// Takes all whole units off the front of `carry` and counts them.
    ///
    /// # Errors
    /// If one of them says that something has failed.
    pub(crate) fn take(wire: &dyn Dialect, carry: &mut Vec<u8>) -> Result<Self> {
        let (mut answers, mut at) = (Self::default(), 0);
        while let Some((length, unit)) = wire.unit(&carry[at..])? {
            match unit {
                Unit::Published => answers.published += 1,
                Unit::Pong => answers.pongs += 1,
                Unit::Ping => answers.pings += 1,
                Unit::Delivered(_) => answers.delivered += 1,
                Unit::Noise => {}
                Unit::Failure(text) => bail!("the broker said {text:?}"),
            }
            at += length;
        }
        carry.drain(..at);
        Ok(answers)
    }
}
