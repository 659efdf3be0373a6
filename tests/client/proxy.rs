//! A way to the broker that can be broken off.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Carries bytes between its clients and a broker.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// Told when all connections are to end.
    resets: watch::Sender<u32>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(broker: String) -> Self {
        Self::cutting(broker, |_| u64::MAX).await
    }

    /// One that breaks off each connection after so many bytes of the client, by the connection's number.
    pub(crate) async fn cutting(broker: String, most: impl Fn(u64) -> u64 + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (resets, seen) = watch::channel(0);
        let accepting = tokio::spawn(async move {
            for number in 0.. {
                let Ok((client, _)) = listener.accept().await else { return };
                tokio::spawn(carry(client, broker.clone(), most(number), seen.clone()));
            }
        });
        Self { address, resets, accepting }
    }

    /// Breaks off every connection, and lets nobody through any more.
    pub(crate) fn refuse(&mut self) {
        self.accepting.abort();
        self.reset();
    }

    /// Breaks off every connection that there is now.
    pub(crate) fn reset(&mut self) {
        self.resets.send_modify(|resets| *resets += 1);
    }
}

async fn carry(mut client: TcpStream, broker: String, most: u64, mut resets: watch::Receiver<u32>) {
    let Ok(mut server) = TcpStream::connect(broker).await else { return };
    resets.mark_unchanged();
    let ((client_reads, mut client_writes), (mut server_reads, mut server_writes)) = (client.split(), server.split());
    tokio::select! {
        _ = async {
            let sent = copy(&mut client_reads.take(most), &mut server_writes).await;
            // The client has ended; or the connection is to break off here.
            if sent.is_ok_and(|sent| sent < most) {
                let _ = server_writes.shutdown().await;
                std::future::pending::<()>().await;
            }
        } => {}
        _ = copy(&mut server_reads, &mut client_writes) => {}
        _ = resets.changed() => {}
    }
}
