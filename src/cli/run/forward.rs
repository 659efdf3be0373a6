//! Signals on their way to the command.

use std::io;

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use tokio::signal::unix::{Signal as Caught, SignalKind, signal};

/// The signals that are passed on, from now on caught.
pub(super) struct Forward {
    terminate: Caught,
    interrupt: Caught,
    hangup: Caught,
    quit: Caught,
    user_1: Caught,
    user_2: Caught,
}

impl Forward {
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for one signal and passes it on.
    pub(super) async fn next(&mut self, child: Option<u32>) {
        let (signal, from_keyboard) = tokio::select! {
            _ = self.terminate.recv() => (Signal::TERM, false),
            _ = self.interrupt.recv() => (Signal::INT, true),
            _ = self.hangup.recv() => (Signal::HUP, false),
            _ = self.quit.recv() => (Signal::QUIT, true),
            _ = self.user_1.recv() => (Signal::USR1, false),
            _ = self.user_2.recv() => (Signal::USR2, false),
        };
        // The keyboard's signals reach the command without us, and a second one often means something else.
        if from_keyboard && has_keyboard() {
            return;
        }
        let Some(child) = child.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else { return };
        // One that has just ended needs none.
        let _ = kill_process(child, signal);
    }
}

/// Whether we are what the keyboard's signals go to, and with us the command.
fn has_keyboard() -> bool {
    rustix::termios::tcgetpgrp(io::stdin()).is_ok_and(|foreground| foreground == getpgrp())
}
