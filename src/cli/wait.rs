//! `msgstream wait`: sleeps until jobs have ended, and says how by its exit code.

use std::time::Duration;

use jiff::Timestamp;
use tokio::task::consume_budget;

use crate::client::{Event, Start, StreamState};
use crate::job::monitor::Message;
use crate::wire::ids::StreamName;
use crate::wire::units::Span;

use super::broker::{Broker, block_on, limit};
use super::clock::time;
use super::connecting::{Contact, News, until};
use super::ending::{Ending, How, label};
use super::exit::{Exit, Failure, Outcome};
use super::standard::{print, say};
use super::streams::{Heard, Streams, failure};
use super::text::inline;

/// Wait until jobs have ended
///
/// A job has ended when its stream has ended, or when a message or the header is a monitor.Complete, monitor.Abort, monitor.Lost or
/// monitor.Error. Each end is printed as one line: on standard output if the job ended well, otherwise on standard error.
///
/// The broker remembers the end of a stream, by default for an hour. So give each run a name of its own, such as build-7, or use --next if
/// a name is used again. With --next, wait looks for the next run twice a second. It also notices a run that begins and ends in between,
/// unless that leaves exactly the same header and last message.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER_HELP, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The streams
    #[arg(required = true, value_name = "STREAM")]
    streams: Vec<String>,
    /// Wait only for the first job to end, not for all
    #[arg(long)]
    any: bool,
    /// Skip a run that has already ended, and wait for the next
    #[arg(long)]
    next: bool,
    /// Wait no longer than this, such as 10s or 5m
    #[arg(long, value_name = "TIME", value_parser = limit)]
    timeout: Option<Span>,
    /// Wait for a broker that is away, and connect again if the connection is lost. If a job ends meanwhile and the broker forgets
    /// it, wait never sees its end
    #[arg(long)]
    reconnect: bool,
    #[command(flatten)]
    broker: Broker,
}

const AFTER_HELP: &str = "\
Examples:
  msgstream wait job-1 && plot results
  msgstream wait job-1 job-2 job-3 --any
  msgstream wait nightly --next --timeout 2h || echo \"failed: $?\"

Exit codes:
   0  all jobs are complete, or their streams have ended without saying how
   1  a job has failed (monitor.Error)
   2  a job was aborted (monitor.Abort), and none has failed or is lost
   3  a job is lost (monitor.Lost), and none has failed: its connection was lost, and it did not come back in time
  64  the command line cannot be understood
  69  the broker cannot be reached, the connection was lost, or a stream was cut off
  77  the broker refused it
  78  the configuration of clients cannot be used
 124  the time was up: at least one job is still running, or has not begun";

pub(crate) fn run(args: Args) -> Outcome {
    block_on(async move {
        let (remote, end) = args.broker.connect_or_wait(args.timeout, args.reconnect).await?;
        let mut streams = Streams::listen(&remote, &args.streams, args.next, Start::default()).await?;
        let mut jobs: Vec<Job> = streams.names().into_iter().map(Job::new).collect();
        let (mut contact, mut ends) = (Contact::new(&remote, &args.broker), Vec::new());
        while !streams.is_over() && (ends.is_empty() || !args.any) {
            // However much comes, the time limit is noticed.
            consume_budget().await;
            tokio::select! {
                biased;
                heard = streams.next() => {
                    let (index, heard) = heard?;
                    let hint = if ends.is_empty() { " (use --next to wait for its next run)" } else { "" };
                    if let Some(job) = jobs.get_mut(index)
                        && let Some(how) = job.take(heard, hint)?
                    {
                        ends.push(how);
                        streams.leave(index);
                    }
                }
                news = contact.news() => match news {
                    News::Away(said) => say(said),
                    News::Back => say("connected again"),
                },
                () = until(end) => return Err(streams.late(args.timeout)),
            }
        }
        Ok(ends.into_iter().min().map_or(Exit::Fine, How::exit))
    })
}

/// One of the jobs, and what is known of its run.
struct Job {
    name: StreamName,
    title: Option<String>,
    started: Option<Timestamp>,
    /// It had ended before it was listened to.
    is_late: bool,
    /// How long before, as the broker says.
    age: Option<Duration>,
    /// Its last run was passed over: an end that is heard is that of the next one.
    is_awaited: bool,
}

impl Job {
    fn new(name: StreamName) -> Self {
        Self { name, title: None, started: None, is_late: false, age: None, is_awaited: false }
    }

    /// Takes what is heard. If the job has ended, says so, with a hint if it had ended before.
    fn take(&mut self, heard: Heard, hint: &str) -> Result<Option<How>, Failure> {
        let name = &self.name;
        let event = match heard {
            Heard::Joined(joined) => {
                self.is_late = joined.state == StreamState::Ended;
                self.age = joined.age.filter(|_| self.is_late);
                if joined.state == StreamState::Waiting {
                    say(format_args!("waiting for {name:?}, which has not begun"));
                }
                return Ok(None);
            }
            Heard::Passed(ending) => {
                self.is_awaited = true;
                say(format_args!("{name:?} {}; waiting for its next run", inline(&ending.told_late())));
                return Ok(None);
            }
            Heard::Event(event) => event,
        };
        if let Some(failure) = failure(name, &event) {
            return Err(failure);
        }
        if let Event::Header(content) | Event::Message(content) = &event {
            match Message::of(content) {
                Some(Message::Start(start)) => (self.title, self.started) = (start.title, time(start.started.as_deref())),
                Some(Message::Join(join)) => (self.title, self.started) = (join.title, time(join.started.as_deref())),
                _ => {}
            }
        }
        let Some(ending) = Ending::of_event(&event) else { return Ok(None) };
        // Nobody heard when a job ended whose header tells its end.
        let is_late = self.is_late || matches!(event, Event::Header(_)) && !self.is_awaited;
        self.tell(ending, is_late, hint).map(Some)
    }

    /// Tells the end in a line.
    fn tell(&mut self, mut ending: Ending, is_late: bool, hint: &str) -> Result<How, Failure> {
        ending.started = ending.started.or(self.started);
        ending.age = self.age;
        ending.ended = ending.ended.or((!is_late).then(Timestamp::now));
        let name = label(self.name.as_str(), ending.title.as_deref().or(self.title.as_deref()));
        let told =
            if is_late { format!("{name} {}{hint}", inline(&ending.told_late())) } else { format!("{name}: {}", inline(&ending.told())) };
        match ending.how {
            How::Failed | How::Lost | How::Aborted => say(told),
            How::Done | How::Ended => print(format!("{told}\n").as_bytes())?,
        }
        Ok(ending.how)
    }
}
