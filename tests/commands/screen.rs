//! The program on a pseudo-terminal, and the screen that a person would see.
//!
//! What the program writes goes through a model of a terminal, so tests see text where it stands, and no escape codes.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::Broker;

/// Lines that the terminal keeps above its screen.
const SCROLLBACK: usize = 10_000;

/// A test that waits longer has failed; nothing else depends on it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program on a terminal. Dropped, it takes the terminal away, and with it, by a hang-up, what runs on it.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    model: Arc<Model>,
}

struct Model {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    parser: vt100::Parser,
    /// The program has left the terminal.
    left: bool,
}

/// What a person can see, and scroll back to.
#[derive(Clone)]
pub(crate) struct Shown {
    /// The lines that have left the screen at its top.
    pub(crate) scrollback: Vec<String>,
    /// The rows of the screen, without the white space at their ends.
    pub(crate) screen: Vec<String>,
    model: vt100::Screen,
}

impl Terminal {
    /// The program on a terminal of 40 rows and 100 columns.
    pub(crate) fn new(broker: &Broker, arguments: &[&str]) -> Self {
        Self::start(&broker.command(arguments), 40, 100)
    }

    /// Starts a command on a terminal. `TERM` is that of a terminal with colours unless the command sets another.
    pub(crate) fn start(command: &Command, rows: u16, columns: u16) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pseudo-terminal");
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        tcsetwinsize(&terminal, size(rows, columns)).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
        let program = || File::options().read(true).write(true).open(&name).unwrap();
        // setsid makes it the controlling terminal, which Ctrl-C and changes of size need.
        let mut on_terminal = Command::new("setsid");
        on_terminal.arg("--ctty").arg(command.get_program()).args(command.get_args());
        on_terminal.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => on_terminal.env(name, value),
                None => on_terminal.env_remove(name),
            };
        }
        let child = on_terminal.stdin(program()).stdout(program()).stderr(program()).spawn().expect("setsid runs");
        // Its copies of the terminal would keep it open beyond the end of the program.
        drop(on_terminal);

        let parser = vt100::Parser::new(some(rows), some(columns), SCROLLBACK);
        let model = Arc::new(Model { state: Mutex::new(State { parser, left: false }), changed: Condvar::new() });
        let keyboard = File::from(terminal);
        let (output, shown) = (keyboard.try_clone().unwrap(), Arc::clone(&model));
        std::thread::spawn(move || shown.follow(output));
        Self { child, keyboard, model }
    }

    /// Waits until the screen and what is above it are so. What is shown may be half a drawing: what a test needs of it, it waits for.
    #[track_caller]
    pub(crate) fn until(&self, is_so: impl Fn(&Shown) -> bool) -> Shown {
        let mut state = self.model.lock();
        let end = Instant::now() + PATIENCE;
        loop {
            let shown = state.shown();
            if is_so(&shown) {
                return shown;
            }
            assert!(!state.left, "the program has ended, and never showed it: {shown}");
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it is not shown: {shown}");
            state = self.model.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits until this text is shown.
    #[track_caller]
    pub(crate) fn until_shown(&self, text: &str) -> Shown {
        self.until(|shown| shown.contains(text))
    }

    pub(crate) fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Gives the terminal another size, of which the system tells the program.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        self.model.lock().parser.screen_mut().set_size(some(rows), some(columns));
        tcsetwinsize(&self.keyboard, size(rows, columns)).unwrap();
    }

    /// Shows what another program writes to the terminal.
    pub(crate) fn write_as_another(&self, text: &str) {
        self.model.lock().parser.process(text.as_bytes());
    }

    /// Stops the program, and returns once it is stopped.
    pub(crate) fn stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
        waitid(WaitId::Pid(Pid::from_child(&self.child)), WaitIdOptions::STOPPED).unwrap();
    }

    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    pub(crate) fn go_on(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }

    /// Waits for the end: the exit code, and what can be seen then.
    #[track_caller]
    pub(crate) fn end(mut self) -> (Option<i32>, Shown) {
        let mut state = self.model.lock();
        let end = Instant::now() + PATIENCE;
        while !state.left {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it has not ended: {}", state.shown());
            state = self.model.changed.wait_timeout(state, left).unwrap().0;
        }
        let shown = state.shown();
        drop(state);
        (self.child.wait().unwrap().code(), shown)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Model {
    /// Shows what the program writes, until nobody has the terminal open any more.
    fn follow(&self, mut output: File) {
        let mut block = [0; 4096];
        while let Ok(count @ 1..) = output.read(&mut block) {
            self.lock().parser.process(&block[..count]);
            self.changed.notify_all();
        }
        self.lock().left = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn shown(&self) -> Shown {
        let mut screen = self.parser.screen().clone();
        let rows = usize::from(screen.size().0.get());
        screen.set_scrollback(usize::MAX);
        let mut scrollback = Vec::new();
        loop {
            let above = screen.scrollback();
            scrollback.extend(lines(&screen).into_iter().take(above));
            screen.set_scrollback(above.saturating_sub(rows));
            if above == 0 {
                break;
            }
        }
        Shown { scrollback, screen: lines(&screen), model: screen }
    }
}

impl Shown {
    /// All lines, those above the screen first.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.scrollback.iter().chain(&self.screen).map(String::as_str)
    }

    /// The number of the colour in which a text of ASCII stands on the screen, if it is not the terminal's own.
    pub(crate) fn colour_of(&self, text: &str) -> Option<u8> {
        let (row, column) = self.screen.iter().enumerate().find_map(|(row, line)| Some((row, line.find(text)?))).expect(text);
        match self.model.cell(u16::try_from(row).unwrap(), u16::try_from(column).unwrap())?.fgcolor() {
            vt100::Color::Idx(colour) => Some(colour),
            _ => None,
        }
    }

    pub(crate) fn hides_cursor(&self) -> bool {
        self.model.hide_cursor()
    }

    pub(crate) fn contains(&self, text: &str) -> bool {
        self.lines().any(|line| line.contains(text))
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.scrollback {
            write!(f, "\n^ {line}")?;
        }
        let used = self.screen.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
        self.screen.iter().take(used).try_for_each(|line| write!(f, "\n| {line}"))
    }
}

fn lines(screen: &vt100::Screen) -> Vec<String> {
    screen.rows(0, screen.size().1.get()).map(|row| row.trim_end().to_owned()).collect()
}

fn some(length: u16) -> NonZero<u16> {
    NonZero::new(length).unwrap()
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

#[test]
fn the_program_is_told_of_a_new_size() {
    let script = "trap 'stty size' WINCH; stty size; while ! read key; do :; done; echo \"$key\"";
    let mut terminal = Terminal::start(Command::new("sh").args(["-c", script]), 5, 40);
    terminal.until_shown("5 40");
    terminal.resize(7, 30);
    terminal.until_shown("7 30");
    terminal.type_in("1\n2\n3\n4\n5\n6\n");
    let (code, shown) = terminal.end();
    assert_eq!((code, shown.lines().next()), (Some(0), Some("5 40")), "{shown}");
}
