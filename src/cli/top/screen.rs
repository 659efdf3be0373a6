//! The terminal: taken, drawn on, and given back however the program ends.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write, stdout};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ratatui::Frame;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event, KeyEvent};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use rustix::process::{Signal, kill_current_process_group};
use tokio::sync::mpsc;

use crate::cli::exit::{Exit, Failure};
use crate::cli::view::can_draw;

/// The terminal is ours.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// What is drawn goes to the terminal in writes of this size at most.
const WRITE: usize = 64 << 10;

/// So many keys may wait.
const KEYS: usize = 64;

/// The terminal. Dropped, it is as it was before.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

/// Refuses what is no terminal, or one that cannot move its cursor.
pub(super) fn check() -> Result<(), Failure> {
    let cure = "\"msgstream streams\" lists the streams, and \"msgstream streams --watch\" does so every second";
    if !stdout().is_terminal() {
        return Err(Failure::new(Exit::Usage, format!("top draws on a terminal, which standard output is not; {cure}")));
    }
    if !can_draw() {
        return Err(Failure::new(Exit::Usage, format!("top cannot draw on this terminal, as TERM is dumb or not set; {cure}")));
    }
    Ok(())
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn take() -> io::Result<Self> {
        // What a panic says is to be read, so the terminal is given back before.
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            told(panic);
        }));
        enter().inspect_err(|_| give_back())?;
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(WRITE, stdout())));
        Ok(Self { terminal: terminal.inspect_err(|_| give_back())? })
    }

    /// Draws what has changed.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        if !IS_TAKEN.load(Ordering::SeqCst) {
            return Err(io::Error::other("a part of the program has failed"));
        }
        self.terminal.draw(draw).map(|_| ())
    }

    /// How many rows and columns there are.
    pub(super) fn size(&self) -> io::Result<(u16, u16)> {
        self.terminal.size().map(|size| (size.height, size.width))
    }

    /// Takes the terminal again from those who have had it since; all is drawn anew.
    pub(super) fn take_again(&mut self) -> io::Result<()> {
        enter()?;
        execute!(stdout(), Clear(ClearType::All))?;
        // What was drawn is forgotten. Terminal::clear would ask the terminal where its cursor is, and wait for the answer among the keys.
        self.terminal.swap_buffers();
        Ok(())
    }

    /// Lets the shell have the terminal until it says `fg`.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        kill_current_process_group(Signal::TSTP)?;
        self.take_again()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn enter() -> io::Result<()> {
    IS_TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen, Hide)
}

/// Gives the terminal back, once. There is nobody left to tell of an error.
fn give_back() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
        let _ = stdout().flush();
    }
}

/// The keys that are pressed from now on. None come once the terminal is gone.
pub(super) fn keys() -> mpsc::Receiver<KeyEvent> {
    let (send, keys) = mpsc::channel(KEYS);
    // A read cannot be interrupted: the thread ends with the program.
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if let Event::Key(key) = event
                && send.blocking_send(key).is_err()
            {
                return;
            }
        }
    });
    keys
}
