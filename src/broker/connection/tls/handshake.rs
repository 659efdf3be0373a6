//! The handshake, which costs nobody but its own connection.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use crate::tls::own_name;

use super::super::Transport;
use super::super::life::drop_input;
use super::super::timers::within;
use super::session::Session;
use super::transport::TlsTransport;

/// What is read at once: no message of a handshake is longer, except for long chains of certificates.
const READ: usize = 4 << 10;

/// What a client that is told of a fault may take to read that.
const LINGER: Duration = Duration::from_secs(1);

/// How a TLS record begins that begins a handshake.
const HANDSHAKE: u8 = 0x16;

/// Keeps handshakes from holding others up. A step of one takes longer than anything else that a client can ask for: when a thousand
/// clients come at once, their steps take turns with everything else.
#[derive(Debug)]
pub struct Handshakes(Semaphore);

impl Default for Handshakes {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

/// Why there is no encrypted connection.
#[derive(Debug, thiserror::Error)]
pub enum Refused<S> {
    /// The client speaks something else, in the clear. It may be told so on its socket.
    #[error("it does not speak TLS")]
    NotTls(S),
    /// The two did not agree, or the client is not who it is to be.
    #[error("{0}")]
    Failed(#[from] rustls::Error),
    /// The client has left.
    #[error("{0}")]
    Gone(#[from] io::Error),
}

impl Handshakes {
    /// Makes an encrypted connection of a socket. For as long as it takes: the caller has a limit.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn accept<S: Transport>(&self, socket: S, config: Arc<ServerConfig>) -> Result<TlsTransport<S>, Refused<S>> {
        let mut session = Box::new(Session::new(config)?);
        let mut is_first = true;
        while session.is_handshaking() {
            poll_fn(|cx| socket.poll_readable(cx)).await?;
            let mut bytes = session.incoming().to_vec();
            bytes.reserve_exact(READ);
            match socket.try_read(&mut bytes) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => continue,
                Err(error) => return Err(error.into()),
            }
            if std::mem::take(&mut is_first) && bytes.first() != Some(&HANDSHAKE) {
                return Err(Refused::NotTls(socket));
            }
            if !Session::has_whole_record(&bytes) {
                // Nothing to understand yet, and no reason to take a turn.
                session.keep(&bytes);
                continue;
            }
            if let Err(error) = self.step(&mut session, bytes).await {
                // It is told why, if it listens.
                let _ = session.send(&socket);
                socket.close();
                within(LINGER, drop_input(&socket)).await;
                return Err(error.into());
            }
            while session.send(&socket)?.left > 0 {
                poll_fn(|cx| socket.poll_writable(cx)).await?;
            }
        }
        let client = session.client_certificate().and_then(own_name).map(Arc::from);
        Ok(TlsTransport::new(socket, session, client))
    }

    /// Understands what has come, when it is this connection's turn.
    async fn step(&self, session: &mut Session, mut bytes: Vec<u8>) -> Result<(), rustls::Error> {
        // What was kept stands in `bytes`. Twice would be much where thousands wait for their turn.
        session.keep(&[]);
        // It is never closed.
        let turn = self.0.acquire().await;
        let advanced = session.advance(&mut bytes, &mut Vec::new());
        session.keep(advanced.as_ref().ok().and_then(|used| bytes.get(*used..)).unwrap_or_default());
        // Before the next one's.
        yield_now().await;
        drop(turn);
        advanced.map(drop)
    }
}
