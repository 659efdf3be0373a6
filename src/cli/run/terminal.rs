//! A terminal for the command (`--tty`): one order for all that it writes, and programs flush and colour as for a person.
//!
//! Only a process that leads a session can have a terminal of its own, and this program may become another without `unsafe`: so
//! it starts itself first, as [`on_terminal`], which then becomes the command.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::Context;
use rustix::io::ioctl_fionbio;
use rustix::process::{getpgrp, ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{OptionalActions, Termios, Winsize, isatty, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr, tcsetwinsize};
use tokio::io::copy;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use super::ending::cannot_run;
use crate::cli::exit::{Exit, Failure, OrExit, Outcome};

/// The subcommand by which this program becomes a command on a terminal.
pub(crate) const ON_TERMINAL: &str = "become-on-terminal";

/// The size of a terminal where we have none ourselves.
const USUAL: Winsize = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };

/// Become a command on a terminal of its own.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, last = true)]
    command: Vec<OsString>,
}

/// Makes standard output the terminal of this process, and becomes the command. Returns only if it cannot.
pub(crate) fn on_terminal(args: &Args) -> Outcome {
    setsid()
        .map_err(io::Error::from)
        .and_then(|_| Ok(ioctl_tiocsctty(io::stdout())?))
        .context("cannot use the terminal")
        .or_exit(Exit::Io)?;
    let (name, arguments) = args.command.split_first().ok_or_else(|| Failure::new(Exit::Usage, "there is no command"))?;
    Err(cannot_run(name, &Command::new(name).args(arguments).exec()))
}

/// The command that becomes the given one on its terminal.
pub(super) fn starter(command: &[OsString]) -> Command {
    let mut starter = Command::new("/proc/self/exe");
    starter.arg(ON_TERMINAL).arg("--").args(command);
    starter
}

/// The other end of the command's terminal. Dropped, it leaves our own as it was.
pub(super) struct Terminal {
    tasks: Vec<JoinHandle<()>>,
    ours: Option<Ours>,
}

impl Terminal {
    /// Opens a terminal for a command: what it writes there comes from the receiver. If we have a keyboard it is the command's.
    pub(super) fn open(command: &mut tokio::process::Command) -> io::Result<(Self, Receiver)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = openpt(flags)?;
        grantpt(&terminal)?;
        unlockpt(&terminal)?;
        let theirs = ioctl_tiocgptpeer(&terminal, flags)?;
        tcsetwinsize(&terminal, size())?;
        ioctl_fionbio(&terminal, true)?;

        let mut tasks = vec![tokio::spawn(follow_size(terminal.try_clone()?))];
        let ours = Ours::take()?;
        if ours.is_some() {
            tasks.push(tokio::spawn(type_in(Sender::from_owned_fd_unchecked(terminal.try_clone()?)?)));
        }
        if isatty(io::stdin()) {
            command.stdin(Stdio::from(theirs.try_clone()?));
        }
        command.stdout(Stdio::from(theirs.try_clone()?)).stderr(Stdio::from(theirs));
        Ok((Self { tasks, ours }, Receiver::from_owned_fd_unchecked(terminal)?))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.ours.take();
    }
}

/// Our own terminal, whose keys all go to the command, until this is dropped.
struct Ours {
    before: Termios,
}

impl Ours {
    /// Takes the keys, if there are any for us.
    fn take() -> io::Result<Option<Self>> {
        let is_in_foreground = || tcgetpgrp(io::stdin()).is_ok_and(|foreground| foreground == getpgrp());
        if !isatty(io::stdin()) || !is_in_foreground() {
            return Ok(None);
        }
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        // So that our own words begin at the left.
        raw.output_modes = before.output_modes;
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Passes on what is typed.
async fn type_in(mut keyboard: Sender) {
    let _ = copy(&mut tokio::io::stdin(), &mut keyboard).await;
}

/// Gives the command's terminal the size of ours whenever that changes.
async fn follow_size(terminal: OwnedFd) {
    let Ok(mut changed) = signal(SignalKind::window_change()) else { return };
    while changed.recv().await.is_some() {
        let _ = tcsetwinsize(&terminal, size());
    }
}

/// The size of our terminal, wherever it is.
fn size() -> Winsize {
    let terminal = File::open("/dev/tty").ok().and_then(|terminal| tcgetwinsize(terminal).ok());
    terminal.or_else(|| tcgetwinsize(io::stdout()).ok()).filter(|size| size.ws_col > 0).unwrap_or(USUAL)
}
