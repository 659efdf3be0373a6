//! `msgstream listen`: shows what streams say, as bars and lines for people or as wire lines for programs.

use std::io::{self, IsTerminal};

use crate::client::{Event, Joined, RemoteStream, Start, Starts, StreamState};
use crate::wire::ids::StreamName;
use crate::wire::units::Span;
use tokio::task::consume_budget;
use tokio::time::Instant;

use super::broker::{Broker, block_on, limit};
use super::connecting::{Contact, News, until};
use super::ending::{Ending, How, begins_run};
use super::exit::{Exit, Failure, Outcome};
use super::prefixed::Prefixed;
use super::standard::{printed, say};
use super::streams::{Heard, Streams, failure};
use super::view::{Form, Signals, Template, Told, View};
use super::wire_lines::WireLines;

/// Show the messages of streams until all of them have ended
///
/// With --prefix, it shows all streams whose names begin so, also those that begin later, and goes on until Ctrl-C, --count or --timeout.
///
/// On a terminal, listen shows a progress bar for each stream that reports progress, and prints everything else as lines above the bars.
/// In a pipe, it prints the lines of the protocol exactly as they arrive, one per message, each at once; those of one stream are in order.
/// The exit code says how the jobs ended, as with `wait`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER_HELP, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The streams
    #[arg(required_unless_present = "prefix", value_name = "STREAM")]
    streams: Vec<String>,
    /// Show all streams whose names begin so, those that there are and those to come; '' means all
    #[arg(long, value_name = "PREFIX", conflicts_with_all = ["streams", "next"])]
    prefix: Option<String>,
    /// Print the lines of the protocol, as in a pipe
    #[arg(long)]
    json: bool,
    /// Print lines of text without bars, also in a pipe
    #[arg(long, conflicts_with = "json")]
    plain: bool,
    /// Print each line in a format such as '{time} {stream}: {text}'; see below
    #[arg(long, value_name = "TEMPLATE", conflicts_with = "json")]
    format: Option<Template>,
    /// Print the time before each line; in a pipe, this implies lines of text
    #[arg(short = 't', long, conflicts_with_all = ["json", "format"])]
    timestamps: bool,
    /// Begin with the last N messages of each stream
    ///
    /// They follow the header. The broker keeps the last messages for some minutes, as far as there is room, so there may be fewer
    /// (replay.time and replay.stream in its configuration). Of a stream that has ended they are shown as well.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = number, conflicts_with = "next")]
    last: Option<u64>,
    /// Stop after this many messages, headers included
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = number)]
    count: Option<u64>,
    /// Stop after this time, such as 10s or 5m
    #[arg(long, value_name = "TIME", value_parser = limit)]
    timeout: Option<Span>,
    /// Wait for a broker that is away, and connect again if the connection is lost; possible gaps are reported
    #[arg(long)]
    reconnect: bool,
    /// Skip a run that has already ended, and wait for the next
    ///
    /// listen looks for the next run twice a second. It also shows a run that begins and ends in between, unless that leaves exactly
    /// the same header and last message.
    #[arg(long)]
    next: bool,
    /// Leave out what has become old by the time it can be shown: of the messages that wait, only the newest comes
    #[arg(long)]
    latest: bool,
    #[command(flatten)]
    broker: Broker,
}

const AFTER_HELP: &str = "\
Examples:
  msgstream listen job-1 job-2
  msgstream listen job-1 --plain | grep error
  msgstream listen job-1 --json | jq .message
  msgstream listen job-1 --last 20
  msgstream listen --prefix fit-
  msgstream listen job-1 --count 100 --timeout 1m > first-hundred

Fields of a format, empty if they are not known:
  {stream}   the stream's name              {k}        units done
  {title}    the job's title                {total}    units in all
  {text}     the line                       {units}    the name of the units
  {level}    the level of a log line        {percent}  the part that is done, in percent
  {time}     when the message arrived       {{ and }}  a brace

Colours are used on terminals, unless NO_COLOR is set or TERM is dumb.

Exit codes:
   0  all streams have ended, or --count is reached, and no job failed, was aborted or is lost;
      with --prefix, ended streams alone do not end it
   1  a job has failed (monitor.Error)
   2  a job was aborted (monitor.Abort), and none has failed or is lost
   3  a job is lost (monitor.Lost), and none has failed: its connection was lost, and it did not come back in time
  64  the command line cannot be understood
  69  the broker cannot be reached, the connection was lost, or a stream was cut off
  74  standard output cannot be written
  77  the broker refused it
  78  the configuration of clients cannot be used
 124  the time was up
 130  interrupted with Ctrl-C";

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "write a whole number, such as 100".to_owned())
}

pub(crate) fn run(args: Args) -> Outcome {
    block_on(async move {
        let (remote, end) = args.broker.connect_or_wait(args.timeout, args.reconnect).await?;
        let (mut streams, names) = Source::listen(&remote, &args).await?;
        let (ends, late) = (vec![None; names.len()], vec![false; names.len()]);
        let output = Output::new(&args, &names);
        let mut listening = Listening { output, names, ends, late, worst: None, left: args.count, failure: None };
        let outcome = tokio::select! {
            biased;
            outcome = listening.listen(&mut streams, Contact::new(&remote, &args.broker)) => outcome,
            () = until(end) => Err(streams.late(args.timeout)),
        };
        // What was gathered before the time was up is shown as well.
        printed(listening.output.leave())?;
        outcome
    })
}

/// The streams that were named, or those of a prefix.
enum Source {
    Named(Streams),
    Prefixed(Prefixed),
}

impl Source {
    /// Listens, and returns the names that are known already.
    async fn listen(remote: &RemoteStream, args: &Args) -> Result<(Self, Vec<StreamName>), Failure> {
        if let Some(prefix) = &args.prefix {
            let starts = Starts::default().last(args.last).latest(args.latest);
            return Ok((Self::Prefixed(Prefixed::listen(remote, prefix, starts).await?), Vec::new()));
        }
        let start = Start::default().last(args.last).latest(args.latest);
        let streams = Streams::listen(remote, &args.streams, args.next, start).await?;
        let names = streams.names();
        Ok((Self::Named(streams), names))
    }

    /// What is heard next, and the name if it may be new.
    async fn next(&mut self) -> Result<(usize, Option<StreamName>, Heard), Failure> {
        match self {
            Self::Named(streams) => streams.next().await.map(|(index, heard)| (index, None, heard)),
            Self::Prefixed(streams) => streams.next().await.map(|(index, name, heard)| (index, Some(name), heard)),
        }
    }

    fn is_over(&self) -> bool {
        matches!(self, Self::Named(streams) if streams.is_over())
    }

    fn late(&self, time: Option<Span>) -> Failure {
        match self {
            Self::Named(streams) => streams.late(time),
            Self::Prefixed(streams) => streams.late(time),
        }
    }
}

/// What is heard, and what has become of it.
struct Listening {
    names: Vec<StreamName>,
    output: Output,
    /// How the jobs have ended so far.
    ends: Vec<Option<How>>,
    /// Which streams had ended before they were listened to: all that comes is of the run that is over.
    late: Vec<bool>,
    /// How the worst of those ended that are remembered no longer.
    worst: Option<How>,
    /// How many messages may still come; none if there is no limit.
    left: Option<u64>,
    /// Why it cannot be told how one of the jobs ends.
    failure: Option<Failure>,
}

impl Listening {
    async fn listen(&mut self, streams: &mut Source, mut contact: Contact) -> Outcome {
        let mut signals = self.output.signals();
        while self.left != Some(0) && !streams.is_over() {
            // However much there is to show, signals and the time limit are noticed.
            consume_budget().await;
            let shown = tokio::select! {
                biased;
                told = signals.next() => match told {
                    Told::Interrupted => return Ok(Exit::Interrupted),
                    told => self.output.told(told),
                },
                heard = streams.next() => self.heard(heard?),
                news = contact.news() => self.output.news(news),
                () = until(self.output.due()) => self.output.flush(),
            };
            if shown.is_err() {
                return printed(shown);
            }
        }
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(self.ends.iter().chain([&self.worst]).flatten().min().map_or(Exit::Fine, |how| how.exit())),
        }
    }

    fn heard(&mut self, (index, name, mut heard): (usize, Option<StreamName>, Heard)) -> io::Result<()> {
        let is_prefixed = name.is_some();
        if let Some(name) = name {
            self.begins(index, name, &heard);
            // It was not waited for, so it has begun.
            if let Heard::Joined(Joined { state: state @ StreamState::Waiting, .. }) = &mut heard {
                *state = StreamState::Running;
            }
        }
        let Some(name) = self.names.get(index) else { return Ok(()) };
        let event = match heard {
            Heard::Joined(joined) => {
                if let Some(late) = self.late.get_mut(index) {
                    *late = joined.state == StreamState::Ended;
                }
                return self.output.joined(index, name, joined);
            }
            Heard::Passed(ending) => return self.output.passed(index, name, &ending),
            Heard::Event(event) => event,
        };
        if let (Event::Header(_) | Event::Message(_), Some(left)) = (&event, &mut self.left) {
            *left -= 1;
        }
        if let Some(end) = self.ends.get_mut(index) {
            match Ending::of_event(&event) {
                // What comes first counts: a stream often ends without a word after its job has said how it ended.
                Some(ending) => *end = end.or(Some(ending.how)),
                None if begins_run(&event) && self.late.get(index) != Some(&true) => *end = None,
                None => {}
            }
        }
        let failure = failure(name, &event);
        if let (Output::Lines(_), true, Some(failure)) = (&self.output, is_prefixed, &failure) {
            // The others go on, and nobody knows for how long.
            say(&failure.error);
        }
        self.failure = failure.or(self.failure.take());
        self.output.event(index, name, &event)
    }

    /// What is heard may be of a stream that is new to this number, or begins again.
    fn begins(&mut self, index: usize, name: StreamName, heard: &Heard) {
        let has_ended = self.ends.get(index).is_some_and(Option::is_some);
        if self.names.get(index) == Some(&name) && !(has_ended && matches!(heard, Heard::Joined(_))) {
            return;
        }
        self.output.begins(index, &name);
        match (self.names.get_mut(index), self.ends.get_mut(index), self.late.get_mut(index)) {
            (Some(known), Some(end), Some(late)) => {
                self.worst = self.worst.into_iter().chain(end.take()).min();
                (*known, *late) = (name, false);
            }
            _ => {
                self.names.push(name);
                self.ends.push(None);
                self.late.push(false);
            }
        }
    }
}

/// Where events go.
enum Output {
    View(Box<View>),
    Lines(WireLines),
}

impl Output {
    fn new(args: &Args, names: &[StreamName]) -> Self {
        let (is_terminal, is_text) = (io::stdout().is_terminal(), args.plain || args.timestamps || args.format.is_some());
        if args.json || !is_terminal && !is_text {
            return Self::Lines(WireLines::new());
        }
        let plain = args.plain || args.format.is_some() || !is_terminal;
        let form = Form { plain, times: args.timestamps, template: args.format.clone() };
        Self::View(Box::new(View::new(names.iter().map(|name| name.as_str().to_owned()).collect(), form)))
    }

    fn signals(&self) -> Signals {
        Signals::catch(matches!(self, Self::View(view) if view.draws()))
    }

    fn begins(&mut self, index: usize, name: &StreamName) {
        if let Self::View(view) = self {
            view.begins(index, name.as_str().to_owned());
        }
    }

    fn joined(&mut self, index: usize, name: &StreamName, joined: Joined) -> io::Result<()> {
        match (self, joined.state) {
            (Self::View(view), _) => view.joined(index, joined),
            (Self::Lines(_), StreamState::Waiting) => say(format_args!("waiting for {name:?}, which has not begun")),
            (Self::Lines(_), StreamState::Ended) => {
                say(format_args!("{name:?} {}", Ending { age: joined.age, ..Ending::silent() }.told_late()));
            }
            (Self::Lines(_), StreamState::Running) => {}
        }
        Ok(())
    }

    /// A run that has ended is passed over.
    fn passed(&mut self, index: usize, name: &StreamName, ending: &Ending) -> io::Result<()> {
        match self {
            Self::View(view) => view.passed(index, ending),
            Self::Lines(_) => say(format_args!("{name:?} {}; waiting for its next run", ending.told_late())),
        }
        Ok(())
    }

    fn event(&mut self, index: usize, name: &StreamName, event: &Event) -> io::Result<()> {
        match self {
            Self::View(view) => view.event(index, event),
            Self::Lines(lines) => {
                match event {
                    Event::Reconnected { reason, missed: Some(missed) } => {
                        say(format_args!("{name:?}: connected again, {missed} messages are missing here: {reason}"));
                    }
                    Event::Reconnected { reason, missed: None } => {
                        say(format_args!("{name:?}: connected again, messages may be missing here: {reason}"));
                    }
                    _ => {}
                }
                lines.event(name, event)
            }
        }
    }

    fn news(&mut self, news: News) -> io::Result<()> {
        match (self, news) {
            (Self::View(view), News::Away(said)) => view.away(&said),
            (Self::View(view), News::Back) => view.back(),
            (Self::Lines(_), News::Away(said)) => say(said),
            // Each stream tells it, since each may have a gap.
            (Self::Lines(_), News::Back) => {}
        }
        Ok(())
    }

    fn told(&mut self, told: Told) -> io::Result<()> {
        if let Self::View(view) = self {
            view.draw_anew(told == Told::Continued);
        }
        Ok(())
    }

    /// When to flush; none while there is nothing to.
    fn due(&self) -> Option<Instant> {
        match self {
            Self::View(view) => view.due(),
            Self::Lines(lines) => lines.has_some().then(Instant::now),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::View(view) => view.flush(),
            Self::Lines(lines) => lines.flush(),
        }
    }

    fn leave(&mut self) -> io::Result<()> {
        match self {
            Self::View(view) => view.leave(),
            Self::Lines(lines) => lines.flush(),
        }
    }
}
