//! Signals on their way to the command.

use std::fs::{self, File};
use std::io;

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::signal::unix::{Signal as Caught, SignalKind, signal};

/// The signals that are passed on, from now on caught.
pub(super) struct Forward {
    terminate: Option<Caught>,
    interrupt: Option<Caught>,
    hangup: Option<Caught>,
    quit: Option<Caught>,
    user_1: Option<Caught>,
    user_2: Option<Caught>,
}

impl Forward {
    pub(super) fn catch() -> io::Result<Self> {
        let ignored = ignored()?;
        // A signal that is ignored (under nohup, for example) stays ignored, and the command inherits that.
        let catch = |kind: SignalKind| match ignored >> (kind.as_raw_value() - 1) & 1 {
            0 => signal(kind).map(Some),
            _ => Ok(None),
        };
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            hangup: catch(SignalKind::hangup())?,
            quit: catch(SignalKind::quit())?,
            user_1: catch(SignalKind::user_defined1())?,
            user_2: catch(SignalKind::user_defined2())?,
        })
    }

    /// Waits for one signal.
    async fn caught(&mut self) -> (Signal, bool) {
        tokio::select! {
            () = received(&mut self.terminate) => (Signal::TERM, false),
            () = received(&mut self.interrupt) => (Signal::INT, true),
            () = received(&mut self.hangup) => (Signal::HUP, false),
            () = received(&mut self.quit) => (Signal::QUIT, true),
            () = received(&mut self.user_1) => (Signal::USR1, false),
            () = received(&mut self.user_2) => (Signal::USR2, false),
        }
    }

    /// Waits for a signal that asks to end, once the command has ended.
    pub(super) async fn asked_to_end(&mut self) {
        while matches!(self.caught().await.0, Signal::USR1 | Signal::USR2) {}
    }

    /// Waits for one signal and passes it on.
    pub(super) async fn next(&mut self, child: Option<u32>) {
        let (signal, from_keyboard) = self.caught().await;
        // The keyboard's signals reach the command without us, and a second one often means something else.
        if from_keyboard && has_keyboard() {
            return;
        }
        let Some(child) = child.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else { return };
        // A command that has just ended needs no signal.
        let _ = kill_process(child, signal);
    }
}

/// Waits for a signal; forever if it is not caught.
async fn received(signal: &mut Option<Caught>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether signals of the keyboard go to this process, and so to the command too. Standard input may be something else.
fn has_keyboard() -> bool {
    File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|foreground| foreground == getpgrp()))
}

/// The signals that this process ignores, a bit for each, the first the lowest (see proc_pid_status(5)).
fn ignored() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    Ok(mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0))
}
