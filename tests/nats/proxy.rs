//! A way to a server that can be cut.

use std::sync::{Arc, Mutex};

use msgstream::broker::NodesSettings;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What there is of it.
#[derive(Default)]
struct State {
    is_cut: bool,
    connections: JoinSet<()>,
}

/// Passes connections on, or closes them.
pub(crate) struct Proxy {
    address: String,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, state) = (format!("nats://{}", listener.local_addr().unwrap()), Arc::<Mutex<State>>::default());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                near.set_nodelay(true).unwrap();
                let mut state = shared.lock().unwrap();
                if state.is_cut {
                    continue;
                }
                state.connections.spawn(async move {
                    let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    far.set_nodelay(true).unwrap();
                    // It ends when it does.
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { address, state }
    }

    pub(crate) fn settings(&self) -> NodesSettings {
        NodesSettings::on([self.address.as_str()]).space("lab".to_owned())
    }

    /// Ends all connections. Those that follow are closed at once.
    pub(crate) fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_cut = true;
        state.connections.abort_all();
    }

    /// Those that follow are passed on.
    pub(crate) fn heal(&self) {
        self.state.lock().unwrap().is_cut = false;
    }
}
