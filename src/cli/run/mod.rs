//! `msgstream run`: runs any command as a job that others can watch.
//!
//! [`output`] passes on what the command writes, which [`text`] makes lines and bars of; [`job_stream`] publishes them; [`forward`]
//! passes signals to it; [`ending`] says how it ended. The command never waits for the broker: what cannot be sent in time is left
//! out, and counted.

mod contact;
mod ending;
mod forward;
mod job_stream;
mod occupied;
mod output;
pub(crate) mod terminal;
mod text;

use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use crate::client::{Backoff, Connection, Options, RemoteStream};
use crate::job::monitor::{Error, Join, Message, Start};
use anyhow::Context;
use signal_hook::consts::SIGINT;
use signal_hook::low_level::emulate_default_handler;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::broker::{Broker, block_on};
use super::exit::{Exit, Failure, OrExit, Outcome};
use super::standard::say;
use super::text::cut;
use contact::Contact;
use ending::{cannot_run, ended, interrupted, sign};
use forward::Forward;
use job_stream::JobStream;
use terminal::Terminal;

/// How long the end of the job may take to reach a broker that there is a connection to.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long a broker may stay away at the end of the job, if it was there before: time to start again.
const RETURN: Duration = Duration::from_secs(5);

/// The longest pause between two attempts to connect, so that a broker that is back hears the end.
const PAUSE: Duration = Duration::from_secs(1);

/// How long to wait for output once the command has ended: another process may hold its pipe.
const REST: Duration = Duration::from_secs(2);

/// The most columns of a title. It goes with the header and with the end, and a broker refuses those that are long.
const LONGEST_TITLE: usize = 1000;

/// Run a command as a job that others can watch
///
/// The stream gets a monitor.Start, with a monitor.Join as header. Each line of output becomes a monitor.Log. A progress bar, such as
/// 12/345 or 40%, becomes a monitor.Progress, at most about ten times a second. The end is a monitor.Complete, a monitor.Error with the
/// exit status, or a monitor.Abort if a signal such as Ctrl-C asked the command to end.
///
/// The output appears here as well. The command runs even if the broker cannot be reached, which is reported on standard error. If
/// standard output and standard error are the same terminal, file or pipe, lines are published in the order in which they were written.
/// Otherwise those of standard error have the level `warning`, and the order between the two is not known. If the command leaves a
/// process behind, its output is published for at most two seconds.
#[derive(Debug, clap::Args)]
#[command(override_usage = "msgstream run [OPTIONS] <STREAM> -- <COMMAND>...", after_long_help = AFTER_HELP, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The stream
    stream: String,
    /// The job's title [default: the command]
    #[arg(long)]
    title: Option<String>,
    /// Start even if a job of this name is running
    #[arg(long)]
    force: bool,
    /// Give the command a terminal of its own, so that it uses colours and flushes its output, all in one order
    #[arg(long, visible_alias = "pty")]
    tty: bool,
    /// A command without --, for which there is a tip
    #[arg(hide = true, allow_hyphen_values = true, num_args = 0..)]
    without_dashes: Vec<OsString>,
    /// The command and its arguments, after --
    #[arg(last = true, value_name = "COMMAND", value_hint = clap::ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
    #[command(flatten)]
    broker: Broker,
}

const AFTER_HELP: &str = "\
Examples:
  msgstream run job-1 -- make -j8 all
  msgstream run build --tty -- cargo build     with colours and its progress bar
  msgstream run nightly --title 'nightly backup' -- sh -c 'dump | gzip > backup.gz'

Signals:
  SIGTERM, SIGINT, SIGHUP and SIGQUIT are passed to the command and the processes that it has
  started, SIGUSR1 and SIGUSR2 to the command only. In the foreground of a terminal, Ctrl-C and
  Ctrl-Z work as without msgstream; elsewhere the command has a process group of its own. If the
  command ends after such a signal with a status other than 0, it was aborted; after SIGHUP, only
  if SIGHUP ended it.

Exit codes:
  that of the command, or 128 plus the number of the signal that ended it; after SIGINT, msgstream
  is ended by SIGINT as well
  64   the command line cannot be understood
  73   a job of this name is running
  74   signals cannot be caught
  78   the configuration of clients cannot be used
 126   the command cannot be executed
 127   the command does not exist";

pub(crate) fn run(args: Args) -> Outcome {
    if args.stream.is_empty() {
        return Err(Failure::new(Exit::Usage, "a stream name needs at least one character"));
    }
    if args.command.is_empty() || !args.without_dashes.is_empty() {
        let command = if args.without_dashes.is_empty() { "COMMAND".to_owned() } else { words(&args.without_dashes) };
        let tip = format!("the command comes after two dashes: msgstream run {} -- {command}", args.stream);
        return Err(Failure::new(Exit::Usage, tip));
    }
    let outcome = block_on(async move {
        let reconnect = Some(Backoff { longest: PAUSE, ..Backoff::default() });
        let options = Options { reconnect, ..Options::default() };
        let queue = options.queue;
        let remote = args.broker.start(options);
        let mut contact = Contact::new(&remote, args.broker.address(), queue.to_string());
        let title = args.title.clone().unwrap_or_else(|| words(&args.command));
        let start = Start { started: Some(now()), ..Start::new(cut(&title, LONGEST_TITLE)) };
        let job = JobStream::new(remote.clone(), args.stream.clone(), &start, queue.0 / 2);
        if !args.force {
            job.claim().await.map_err(|other| Failure::new(Exit::Occupied, taken(&args.stream, &other)))?;
        }
        job.start(start.clone()).await;
        contact.tell_refusal(remote.clone());
        let mut forward = Forward::catch().context("cannot catch signals").or_exit(Exit::Io)?;
        // The terminal is ours again before anything is said of the end.
        forward.shares_group &= !args.tty;
        let (mut last, outcome) = match spawn(&args, forward.shares_group) {
            Ok((child, outputs)) => {
                let status = watch(child, outputs, &mut forward, &job).await;
                let asked = forward
                    .asked
                    .or_else(|| (args.tty || forward.gave_terminal).then(|| status.as_ref().ok().and_then(interrupted)).flatten());
                ended(status, asked)
            }
            Err(error) => {
                let failure = cannot_run(args.command.first().map(OsString::as_os_str).unwrap_or_default(), &error);
                (Error::new(failure.error.to_string()).into(), Err(failure))
            }
        };
        contact.leave();
        sign(&mut last, start, now(), job.left_out());
        finish(&remote, &last, &job, &args, contact.was_reached(), &mut forward).await;
        outcome
    });
    if matches!(outcome, Ok(Exit::Interrupted)) {
        // A shell ends the script around us only if we end of the interrupt as well.
        let _ = emulate_default_handler(SIGINT);
    }
    outcome
}

fn words(command: &[OsString]) -> String {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// What somebody is told who runs a second job of a name.
fn taken(stream: &str, other: &Join) -> String {
    let of = |name: &str| other.more.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let (pid, host) = (of("pid").unwrap_or_default(), of("host").unwrap_or_default());
    let since = other.started.as_deref().unwrap_or("an unknown time");
    let cure = "give this one another name, or start it anyway with --force";
    format!("{stream:?} has been running since {since}, as process {pid} on {host}: {cure}")
}

/// The time, as the messages of a job tell it.
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3f+00:00").to_string()
}

/// Starts the command. Its signals are to be caught by then, so that none is lost.
fn spawn(args: &Args, shares_group: bool) -> io::Result<(Child, Outputs)> {
    if args.tty {
        let mut command = Command::from(terminal::starter(&args.command));
        let (terminal, both) = Terminal::open(&mut command)?;
        let child = command.spawn()?;
        return Ok((child, Outputs { stdout: None, stderr: None, both: Some(both), terminal: Some(terminal) }));
    }
    let (name, arguments) = args.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(name);
    if !shares_group {
        command.process_group(0);
    }
    command.args(arguments);
    if !outputs_are_one() {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        return Ok((child, Outputs { stdout, stderr, both: None, terminal: None }));
    }
    let (read, write) = io::pipe()?;
    command.stdout(write.try_clone()?).stderr(write);
    let child = command.spawn()?;
    let both = Some(Receiver::from_owned_fd(read.into())?);
    Ok((child, Outputs { stdout: None, stderr: None, both, terminal: None }))
}

/// Whether standard output and standard error are one terminal, file or pipe. Then what a command writes to them is for one
/// reader, and only one pipe keeps its order.
fn outputs_are_one() -> bool {
    let place = |status: rustix::fs::Stat| (status.st_dev, status.st_ino);
    let (stdout, stderr) = (rustix::fs::fstat(io::stdout()), rustix::fs::fstat(io::stderr()));
    stdout.is_ok_and(|stdout| stderr.is_ok_and(|stderr| place(stdout) == place(stderr)))
}

/// Where the command writes to: two pipes, or one for both.
struct Outputs {
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    both: Option<Receiver>,
    terminal: Option<Terminal>,
}

/// Passes output and signals on until the command has ended.
async fn watch(mut child: Child, outputs: Outputs, forward: &mut Forward, job: &JobStream) -> io::Result<ExitStatus> {
    let id = child.id();
    let Outputs { stdout, stderr, both, terminal: _terminal } = outputs;
    // Output of a process that outlives the command does not belong to the job.
    let cut = CancellationToken::new();
    let pass = async {
        tokio::join!(
            output::pass(stdout, tokio::io::stdout(), "info", job, &cut),
            output::pass(stderr, tokio::io::stderr(), "warning", job, &cut),
            output::pass(both, tokio::io::stdout(), "info", job, &cut)
        );
    };
    tokio::pin!(pass);
    let mut all_passed = false;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            () = &mut pass, if !all_passed => all_passed = true,
            () = forward.next(id) => {}
        }
    };
    if !all_passed {
        // Only reading is cut short: a slow reader of our output still gets all.
        let late = async {
            sleep(REST).await;
            cut.cancel();
            pending().await
        };
        tokio::select! {
            () = pass => {}
            () = late => {}
            () = forward.asked_to_end() => {}
        }
    }
    status
}

/// Says how the job ended, ends the stream and waits for a limited time until the broker has it all; not at all for one that was never
/// there, or will never be again.
///
/// An interrupt ends the wait.
async fn finish(remote: &RemoteStream, last: &Message, job: &JobStream, args: &Args, was_reached: bool, forward: &mut Forward) {
    let mut connection = remote.connection();
    let unreachable = |now: &Connection| match now {
        Connection::Away { reason } | Connection::Over { reason } => {
            Some(format!("it cannot be reached: {}", contact::why(reason, &args.broker.address())))
        }
        Connection::Connecting | Connection::Connected => None,
    };
    let patience = if unreachable(&connection.borrow()).is_some() { RETURN } else { LAST_WORDS };
    let closed = timeout(patience, job.end(last));
    let away = async {
        let is_given_up = |now: &Connection| matches!(now, Connection::Over { .. }) || !was_reached && unreachable(now).is_some();
        let given_up = connection.wait_for(is_given_up).await.ok().and_then(|now| unreachable(&now));
        match given_up {
            Some(why) => why,
            None => pending().await,
        }
    };
    let lost = tokio::select! {
        biased;
        closed = closed => match closed {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Failure::from(error).error.to_string()),
            Err(_) => Some(unreachable(&remote.connection().borrow()).unwrap_or_else(|| "it did not answer in time".to_owned())),
        },
        why = away => Some(why),
        () = forward.asked_to_end() => Some("interrupted".to_owned()),
    };
    if let Some(why) = lost {
        say(format_args!("the broker at {} does not know how the job ended: {why}", args.broker.address()));
    }
    match job.left_out() {
        0 => {}
        lines => {
            let is_over = matches!(*remote.connection().borrow(), Connection::Over { .. });
            let why = if is_over { "nothing more went to the broker" } else { "the broker did not take them in time" };
            say(format_args!("{lines} lines of output were not published: {why}"));
        }
    }
}
