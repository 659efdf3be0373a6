//! A broker in this process, which can be killed as if its machine had failed and started again on the same port.

use std::net::SocketAddr;
use std::time::Duration;

use msgstream::broker::{Address, Limits, Server, Settings};
use msgstream::client::{Event, Listener, RemoteStream};
use msgstream::units::Span;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

pub(crate) struct Broker {
    pub(crate) address: Address,
    /// Its own, so that dropping it drops every socket in whatever state it is.
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
    settings: Settings,
}

impl Broker {
    pub(crate) fn start() -> Self {
        Self::start_with(&["127.0.0.1:0".parse().unwrap()], &Settings::default())
    }

    /// One that waits so long for those who have a session.
    pub(crate) fn impatient(session_time: Duration) -> Self {
        let limits = Limits::default().session_time(Span(session_time));
        Self::start_with(&["127.0.0.1:0".parse().unwrap()], &Settings::default().limits(limits))
    }

    pub(crate) fn start_with(addresses: &[Address], settings: &Settings) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = {
            let _inside = runtime.enter();
            let listen: Vec<_> = addresses.iter().cloned().map(Into::into).collect();
            Server::bind(&listen, settings).unwrap()
        };
        let address = server.addresses()[0].clone();
        runtime.spawn(server.run(
            async move {
                // A sender that is dropped is a broker that is killed, which is not told.
                if stopped.await.is_err() {
                    std::future::pending::<()>().await;
                }
            },
            std::future::pending(),
        ));
        Self { address, runtime: Some(runtime), stop: Some(stop), settings: settings.clone() }
    }

    pub(crate) async fn connect(&self) -> RemoteStream {
        RemoteStream::connect(&self.address.to_string()).await.unwrap()
    }

    pub(crate) fn socket(&self) -> SocketAddr {
        match &self.address {
            Address::Tcp(socket) => *socket,
            other => panic!("{other} is no TCP address"),
        }
    }

    /// Ends it without a word.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Ends it in order.
    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).unwrap();
        }
    }

    /// A new one at the same address, which remembers nothing.
    pub(crate) fn restart(&mut self) {
        self.kill();
        // The runtime ends in the background: the port is free once its sockets are closed.
        let again = loop {
            if std::net::TcpListener::bind(self.socket()).is_ok() {
                break Self::start_with(std::slice::from_ref(&self.address), &self.settings);
            }
            std::thread::yield_now();
        };
        *self = again;
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The next events as text, up to so many or the last.
pub(crate) async fn next(listener: &mut Listener, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count {
        match listener.next().await {
            Some(event) => seen.push(told(&event)),
            None => break,
        }
    }
    seen
}

/// An event as a test writes it; reasons are left out, since they are for people.
pub(crate) fn told(event: &Event) -> String {
    match event {
        Event::Header(content) => format!("header {content}"),
        Event::Message(content) => content.to_string(),
        Event::Ended { message: Some(content) } => format!("ended {content}"),
        Event::Ended { message: None } => "ended".to_owned(),
        Event::CutOff(reason) => format!("cut off: {}", reason.code),
        Event::Lost { .. } => "lost".to_owned(),
        Event::Reconnected { .. } => "reconnected".to_owned(),
        Event::Skipped { messages } => format!("skipped {messages}"),
        other => panic!("{other:?} is new"),
    }
}
