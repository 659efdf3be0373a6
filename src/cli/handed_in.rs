//! Sockets that systemd has opened and hands in when it starts the broker; see sd_listen_fds(3).
//!
//! systemd keeps them open while the broker is restarted, so that clients that connect meanwhile wait. The name of each
//! (`FileDescriptorName=`) says what is spoken there.

use std::env;
use std::os::fd::OwnedFd;

use listenfd::ListenFd;

use crate::broker::server::HandedIn;

/// The names that say nothing of a socket: systemd's own, for a socket that was given none.
const NAMELESS: [&str; 2] = ["", "unknown"];

/// The sockets that were handed in. Called once, before any thread runs: it takes variables out of the environment.
pub(crate) fn sockets() -> anyhow::Result<Vec<HandedIn>> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut handed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..handed.len() {
        let name = names.next().unwrap_or_default();
        let Some(socket) = take(&mut handed, index) else {
            anyhow::bail!("the socket {name:?} that was handed in is neither TCP nor a Unix stream socket; write ListenStream=");
        };
        let scheme = Some(name).filter(|name| !NAMELESS.contains(name) && !name.ends_with(".socket"));
        sockets.push(HandedIn::new(socket, scheme)?);
    }
    Ok(sockets)
}

fn take(handed: &mut ListenFd, index: usize) -> Option<OwnedFd> {
    if let Ok(Some(socket)) = handed.take_tcp_listener(index) {
        return Some(socket.into());
    }
    handed.take_unix_listener(index).ok().flatten().map(OwnedFd::from)
}
