//! A bare relay: every byte that a publisher sends is copied to all listeners, and nothing is parsed.
//!
//! It is the physical floor that `benches/compare` measures brokers against: the system calls and copies that moving
//! bytes from one socket to many costs on this machine. A connection whose first line is `listen` is a listener and is
//! answered `ok`; all others are publishers. There are no queues: a publisher waits for the slowest listener.
//!
//! Usage: `relay PORT`, on 127.0.0.1.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

#[derive(Default)]
struct Relay {
    listeners: RefCell<Vec<Rc<TcpStream>>>,
    /// Held while a chunk goes out, so that those of two publishers do not mix.
    turn: Mutex<()>,
}

/// As much as is read at once.
const CHUNK: usize = 64 << 10;
const LISTEN: &[u8] = b"listen\n";

fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let port: u16 = port.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "usage: relay PORT"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(port))
}

async fn serve(port: u16) -> io::Result<()> {
    let relay = Rc::new(Relay::default());
    // The standard backlog of 128 would refuse some of a thousand listeners that come at once.
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], port).into())?;
    let server: TcpListener = socket.listen(4096)?;
    loop {
        let (stream, _) = server.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(connection(Rc::clone(&relay), stream));
    }
}

/// One connection's life; its end, of whatever kind, ends nothing else.
async fn connection(relay: Rc<Relay>, mut stream: TcpStream) {
    let mut buffer = vec![0; CHUNK];
    let Ok(read) = stream.read(&mut buffer).await else { return };
    if &buffer[..read] == LISTEN {
        drop(buffer);
        // The answer proves to the listener that it is one: it is sent after the entry, and nothing else comes between.
        let stream = Rc::new(stream);
        relay.listeners.borrow_mut().push(Rc::clone(&stream));
        if send(&stream, b"ok\n").await.is_err() {
            relay.remove(&stream);
        }
        return;
    }
    let mut read = read;
    while read > 0 {
        relay.copy(&buffer[..read]).await;
        // `read` of a current buffer size forgets readiness after a short read, which saves a system call that says so.
        match stream.read(&mut buffer).await {
            Ok(more) => read = more,
            Err(_) => return,
        }
    }
}

impl Relay {
    /// Sends a chunk to all: first as much as all take at once, then what is left, waiting.
    async fn copy(&self, chunk: &[u8]) {
        let _turn = self.turn.lock().await;
        let mut behind = Vec::new();
        for listener in self.listeners.borrow().iter() {
            match listener.try_write(chunk) {
                Ok(written) if written == chunk.len() => {}
                Ok(written) => behind.push((Rc::clone(listener), written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => behind.push((Rc::clone(listener), 0)),
                // Seen again below, where it may be removed.
                Err(_) => behind.push((Rc::clone(listener), 0)),
            }
        }
        for (listener, written) in behind {
            if send(&listener, &chunk[written..]).await.is_err() {
                self.remove(&listener);
            }
        }
    }

    fn remove(&self, gone: &Rc<TcpStream>) {
        self.listeners.borrow_mut().retain(|listener| !Rc::ptr_eq(listener, gone));
    }
}

async fn send(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
