//! A way to the broker that can be broken off.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Carries bytes between its clients and a broker.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// Told when all connections are to end.
    resets: watch::Sender<u32>,
}

impl Proxy {
    pub(crate) async fn start(broker: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (resets, seen) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, broker.clone(), seen.clone()));
            }
        });
        Self { address, resets }
    }

    /// Breaks off every connection that there is now.
    pub(crate) fn reset(&mut self) {
        self.resets.send_modify(|resets| *resets += 1);
    }
}

async fn carry(mut client: TcpStream, broker: String, mut resets: watch::Receiver<u32>) {
    let Ok(mut server) = TcpStream::connect(broker).await else { return };
    resets.mark_unchanged();
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = resets.changed() => {}
    }
}
