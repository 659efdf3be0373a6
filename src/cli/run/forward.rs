//! Signals on their way to the command, each of which it is to get once.
//!
//! In the foreground of a terminal the command stays in our process group, so that Ctrl-C and Ctrl-Z mean what they always mean,
//! to a pipeline and a script around us too. The kernel sends these to the whole group, and so they are not passed on.
//!
//! Elsewhere (CI, cron, a supervisor, the background of a shell) a signal to our group cannot be told from one to us alone. There
//! the command gets a process group of its own, and everything that comes is passed on.

use std::fs::{self, File};
use std::io;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgrp, getpid, kill_process, kill_process_group, waitid};
use rustix::termios::{tcgetpgrp, tcsetpgrp};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};
use tokio::signal::unix::{Signal as Children, SignalKind, signal as child_signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

/// A signal that asks to end may come twice at once: timeout(1) sends it to its child, and then to the group.
const TWICE: Duration = Duration::from_millis(10);

/// The signals that are passed on, from now on caught.
pub(super) struct Forward {
    caught: UnboundedReceiver<Origin>,
    /// Caught behind another of another kind.
    next: Option<Origin>,
    /// Whether the command shares our process group.
    pub(super) shares_group: bool,
    /// The last signal that asked the command to end.
    pub(super) asked: Option<i32>,
    /// A command with a group of its own has been given the terminal, and so the keyboard.
    pub(super) gave_terminal: bool,
    /// Stopped with the command, and not continued yet.
    is_stopped: bool,
    children: Children,
}

impl Forward {
    pub(super) fn catch() -> io::Result<Self> {
        let shares_group = is_in_foreground();
        let mut signals = vec![SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];
        if !shares_group {
            signals.extend([SIGTSTP, SIGCONT]);
        }
        // A signal that is ignored (under nohup, for example) stays ignored, and the command inherits that.
        let ignored = ignored()?;
        signals.retain(|signal| ignored >> (signal - 1) & 1 == 0);
        let mut signals = SignalsInfo::<WithOrigin>::new(signals)?;
        let children = child_signal(SignalKind::child())?;
        let (sender, caught) = unbounded_channel();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            // Until nobody waits for signals any more.
            let _ = signals.forever().try_for_each(|origin| sender.send(origin));
        })?;
        Ok(Self { caught, next: None, shares_group, asked: None, gave_terminal: false, is_stopped: false, children })
    }

    /// Waits for a signal that asks to end, once the command has ended.
    pub(super) async fn asked_to_end(&mut self) {
        while !asks_to_end(caught(&mut self.next, &mut self.caught).await.signal) {}
    }

    /// Passes one signal on, or stops with the command. Dropped while it waits, it has done nothing.
    pub(super) async fn next(&mut self, command: Option<u32>) {
        let origin = tokio::select! {
            biased;
            origin = caught(&mut self.next, &mut self.caught) => origin,
            _ = self.children.recv() => return self.stop_with(command),
        };
        if asks_to_end(origin.signal) {
            self.asked = Some(origin.signal);
        }
        let Some(command) = command.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else { return };
        let Some(signal) = Signal::from_named_raw(origin.signal) else { return };
        if !self.shares_group {
            self.pass_on(signal, command);
        } else if origin.cause != Cause::Kernel {
            // A command that has just ended needs no signal.
            let _ = kill_process(command, signal);
        }
        if asks_to_end(origin.signal) {
            self.skip_twin(&origin).await;
        }
    }

    /// Stops with a command that has a group of its own: one that reads from the terminal in the background, say. Then the shell
    /// tells of it, and its `fg` continues both.
    fn stop_with(&mut self, command: Option<u32>) {
        let command = command.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let Some(command) = command.filter(|_| !self.shares_group && !self.is_stopped) else { return };
        if let Ok(Some(_)) = waitid(WaitId::Pid(command), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG) {
            self.stop();
        }
    }

    fn stop(&mut self) {
        self.is_stopped = true;
        let _ = kill_process(getpid(), Signal::STOP);
    }

    /// Passes a signal on to a command with a process group of its own.
    fn pass_on(&mut self, signal: Signal, command: Pid) {
        if signal == Signal::CONT {
            self.is_stopped = false;
            // The shell has given us the terminal, which is meant for the command.
            if is_in_foreground() {
                self.gave_terminal = File::open("/dev/tty").is_ok_and(|terminal| tcsetpgrp(terminal, command).is_ok());
            }
        }
        // A process that does not expect these would end of them.
        let is_for_one = matches!(signal, Signal::USR1 | Signal::USR2);
        // A command that is about to get its terminal has no group yet.
        if is_for_one || kill_process_group(command, signal).is_err() {
            let _ = kill_process(command, signal);
        }
        if signal == Signal::TSTP {
            self.stop();
        }
    }

    /// Forgets the second of two that are one.
    async fn skip_twin(&mut self, first: &Origin) {
        if self.next.is_none()
            && let Ok(Some(second)) = timeout(TWICE, self.caught.recv()).await
            && (second.signal, second.process) != (first.signal, first.process)
        {
            self.next = Some(second);
        }
    }
}

/// Waits for one signal.
async fn caught(next: &mut Option<Origin>, caught: &mut UnboundedReceiver<Origin>) -> Origin {
    if let Some(origin) = next.take() {
        return origin;
    }
    match caught.recv().await {
        Some(origin) => origin,
        None => std::future::pending().await,
    }
}

fn asks_to_end(signal: i32) -> bool {
    matches!(signal, SIGTERM | SIGINT | SIGHUP | SIGQUIT)
}

/// Whether the keyboard's signals go to this process, and so to the command too. Standard input may be something else.
fn is_in_foreground() -> bool {
    File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|foreground| foreground == getpgrp()))
}

/// The signals that this process ignores, a bit for each, the first the lowest (see proc_pid_status(5)).
fn ignored() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    Ok(mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use signal_hook::consts::SIGUSR2;

    use super::*;

    /// Signals that are real, since nothing else has an origin. Which they are makes no difference here.
    #[tokio::test(start_paused = true)]
    async fn the_second_of_two_signals_that_are_one_is_forgotten() {
        let mut signals = SignalsInfo::<WithOrigin>::new([SIGUSR2]).unwrap();
        kill_process(getpid(), Signal::USR2).unwrap();
        let ours = signals.forever().next().unwrap();
        std::process::Command::new("sh").args(["-c", "kill -USR2 $PPID"]).status().unwrap();
        let theirs = signals.forever().next().unwrap();

        let (sender, caught) = unbounded_channel();
        let children = child_signal(SignalKind::child()).unwrap();
        let mut forward =
            Forward { caught, next: None, shares_group: false, asked: None, gave_terminal: false, is_stopped: false, children };
        for (second, is_kept) in [(&ours, false), (&theirs, true)] {
            sender.send(second.clone()).unwrap();
            forward.skip_twin(&ours).await;
            assert!(forward.caught.is_empty() && forward.next.is_some() == is_kept);
        }
    }
}
