//! `msgstream top`: the directory of streams on a terminal, live.
//!
//! `feed` hears the broker, `model` knows what is shown, `keys` what a key means, and `draw` what it all looks like; `screen` alone touches
//! the terminal.

mod draw;
mod feed;
mod keys;
mod model;
mod screen;

use std::io;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use ratatui::crossterm::event::{KeyEvent, KeyModifiers};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::consume_budget;
use tokio::time::Instant;

use crate::client::{Backoff, Options};

use super::broker::{Broker, block_on, who_may_not_see_all};
use super::connecting::{Contact, until};
use super::exit::{Exit, Failure, OrExit, Outcome};
use super::view::{Colours, Signals, Told as Signalled};
use feed::{Feed, Told};
use keys::Key;
use model::{Act, Model, Row};
use screen::Screen;

/// Show the streams live on a terminal: how they stand, how far they are, and what they say
///
/// What has failed or is lost comes first. Only the streams that are seen are listened to, so there may be thousands. The listeners that are
/// counted are those beside this program. While the broker is away, the streams are shown as without news, and it is connected to again.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Only streams whose names begin so [default: all]
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,
    #[command(flatten)]
    broker: Broker,
}

const AFTER_HELP: &str = "\
Examples:
  msgstream top
  msgstream top fit-
  msgstream top --server broker.example

Keys:
  arrows, j, k, PgUp, PgDn, Home, End  move
  Enter, Esc   show a stream, with its header and its messages, and go back
  /            show only streams whose name or title contains a text; Esc shows all
  f            show only some states: running; failed, lost, aborted; waiting; done, ended
  s, r         sort by the next column; the other way round
  space        hold what is shown, and go on
  ?            show the keys
  q, Ctrl-C    quit

Colours are used unless NO_COLOR is set.

Exit codes:
   0  left with q
  64  the command line cannot be understood, or this is no terminal that can be drawn on
  69  the broker cannot be reached
  74  the terminal cannot be used
  77  the broker refused it
  78  the configuration of clients cannot be used
 129  the terminal is gone
 130  interrupted with Ctrl-C
 143  ended by SIGTERM";

/// The least time between two drawings.
const FRAME: Duration = Duration::from_millis(100);

/// How often is drawn while nothing comes, since times are shown.
const QUIET: Duration = Duration::from_secs(1);

pub(crate) fn run(args: Args) -> Outcome {
    screen::check()?;
    block_on(async move {
        let options = Options { reconnect: Some(Backoff::default()), session: false, ..Options::default() };
        let remote = args.broker.connect(options).await?;
        let contact = Contact::new(&remote, &args.broker);
        let feed = Feed::listen(remote, contact, &args.prefix).await?;
        let model = Model::new(args.broker.address(), args.prefix.clone());
        let ends = Ends::catch().context("cannot catch signals").or_exit(Exit::Io)?;
        let signals = Signals::catch(true);
        let screen = Screen::take().context("cannot use the terminal").or_exit(Exit::Io)?;
        let mut top = Top { feed, model, screen, colours: Colours::of_standard_output(), changed: true, drawn: None };
        let outcome = top.show(ends, signals).await;
        // The terminal is given back before anything is said.
        drop(top);
        outcome.map_err(|failure| who_may_not_see_all(failure, "msgstream top PREFIX"))
    })
}

/// What runs.
struct Top {
    feed: Feed,
    model: Model,
    screen: Screen,
    colours: Colours,
    /// What is shown is not as it should be.
    changed: bool,
    drawn: Option<Instant>,
}

impl Top {
    async fn show(&mut self, mut ends: Ends, mut signals: Signals) -> Outcome {
        let mut keys = screen::keys();
        loop {
            // However much there is to hear, keys and signals are noticed.
            consume_budget().await;
            let due = self.due();
            tokio::select! {
                biased;
                exit = ends.next() => return Ok(exit),
                told = signals.next() => match told {
                    Signalled::Interrupted => return Ok(Exit::Interrupted),
                    Signalled::Continued => self.drawn_anew(Screen::take_again)?,
                    Signalled::Resized => (self.changed, self.drawn) = (true, None),
                },
                key = keys.recv() => match key {
                    Some(key) => if let Some(exit) = self.press(key)? { return Ok(exit) },
                    None => return Ok(HUNG_UP),
                },
                () = until(due) => self.draw().await?,
                told = self.feed.next() => self.hear(told?),
            }
        }
    }

    /// When to draw; never while nothing moves.
    fn due(&self) -> Option<Instant> {
        let wait = if self.changed { FRAME } else { QUIET };
        let is_due = self.changed || self.model.moves();
        is_due.then(|| self.drawn.map_or_else(Instant::now, |drawn| drawn + wait))
    }

    async fn draw(&mut self) -> Result<(), Failure> {
        (self.changed, self.drawn) = (false, Some(Instant::now()));
        let now = Timestamp::now();
        let size = terminal(self.screen.size())?;
        let (rows, lines) = draw::room(size);
        self.model.arrange(rows, lines, now);
        if self.model.away.is_none() {
            if let Some(wanted) = self.model.wanted(now) {
                self.feed.follow(&wanted).await?;
            }
            let row = self.model.row();
            let (is_there, goes_on) = (row.is_some_and(|row| !row.is_stale), row.is_some_and(Row::is_open));
            let stream = self.model.tail.as_ref().map(|tail| (&tail.name, tail.opened));
            self.feed.look_at(stream, is_there, goes_on).await?;
        }
        let (model, colours) = (&self.model, self.colours);
        terminal(self.screen.draw(|frame| draw::draw(frame, model, colours, now)))
    }

    fn drawn_anew(&mut self, take: impl FnOnce(&mut Screen) -> io::Result<()>) -> Result<(), Failure> {
        (self.changed, self.drawn) = (true, None);
        terminal(take(&mut self.screen))
    }

    fn hear(&mut self, told: Told) {
        let now = Timestamp::now();
        match told {
            Told::Away(said) => self.model.lose(said, now),
            Told::Back => self.model.find(),
            Told::Entry(name, entry) => self.model.enter(name, entry, now),
            Told::Seen(name, heard) => self.model.hear(&name, &heard, now),
            Told::LookedAt(heard) => self.model.hear_tail(&heard, now),
        }
        self.changed = true;
    }

    /// Does what a key asks for; an exit code if that is to leave.
    fn press(&mut self, mut key: KeyEvent) -> Result<Option<Exit>, Failure> {
        // Esc and the next key, if they came together.
        if key.modifiers.contains(KeyModifiers::ALT) {
            key.modifiers.remove(KeyModifiers::ALT);
            self.model.act(Act::Back, Timestamp::now());
            self.changed = true;
        }
        match keys::meaning(key, self.model.is_typing) {
            None => {}
            Some(Key::Quit) => return Ok(Some(Exit::Fine)),
            Some(Key::Interrupt) => return Ok(Some(Exit::Interrupted)),
            Some(Key::Suspend) => self.drawn_anew(Screen::suspend)?,
            Some(Key::Redraw) => self.drawn_anew(Screen::take_again)?,
            Some(Key::Act(act)) => {
                self.model.act(act, Timestamp::now());
                self.changed = true;
            }
        }
        Ok(None)
    }
}

fn terminal<T>(outcome: io::Result<T>) -> Result<T, Failure> {
    outcome.context("cannot draw on the terminal").or_exit(Exit::Io)
}

/// The codes that shells give to who is ended by a signal.
const HUNG_UP: Exit = Exit::Status(129);
const TERMINATED: Exit = Exit::Status(143);

/// The signals that end the program. The terminal is given back before.
struct Ends {
    terminate: Signal,
    hang_up: Signal,
}

impl Ends {
    fn catch() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, hang_up: signal(SignalKind::hangup())? })
    }

    async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.terminate.recv() => TERMINATED,
            _ = self.hang_up.recv() => HUNG_UP,
        }
    }
}
