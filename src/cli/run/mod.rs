//! `msgstream run`: runs any command as a job that others can watch.
//!
//! [`output`] passes on what the command writes; [`forward`] passes signals to it. The command never waits for the broker: what
//! cannot be sent in time is left out, and counted.

mod forward;
mod output;

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use msgstream::client::{Backoff, Options, RemoteStream};
use msgstream::monitor::{Complete, Error, Message, Start};
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::broker::{Broker, block_on};
use super::exit::{Exit, Failure, Outcome};
use forward::Forward;
use output::Publisher;

/// What the end of the job may take to reach the broker.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What output may take to come once the command has ended: another process may hold its pipe.
const REST: Duration = Duration::from_secs(2);

/// Run a command as a job that others can watch
///
/// The stream gets a monitor.Start as header, each line of output as a monitor.Log, and at the end a monitor.Complete or a
/// monitor.Error with the exit status. Output appears here as well. The command runs, and goes on, whether the broker is there or not.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER_HELP, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The stream
    stream: String,
    /// What the job is called [default: the command]
    #[arg(long)]
    title: Option<String>,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    broker: Broker,
}

const AFTER_HELP: &str = "\
Examples:
  msgstream run job-1 -- make -j8 all
  msgstream run nightly --title 'nightly backup' -- sh -c 'dump | gzip > backup.gz'

Signals:
  SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 are passed to the command

Exit codes:
  that of the command, or 128 and the number of the signal that ended it
  64   the command line cannot be understood
 126   the command cannot be run
 127   there is no such command";

pub(crate) fn run(args: Args) -> Outcome {
    if args.stream.is_empty() {
        return Err(Failure::new(Exit::Usage, "a stream name needs at least one character"));
    }
    block_on(async move {
        let remote = args.broker.start(Options { reconnect: Some(Backoff::default()), ..Options::default() });
        let publisher = Publisher::new(remote.clone(), args.stream.clone());
        let title = args.title.clone().unwrap_or_else(|| args.command.join(" "));
        let start = Start::new(title);
        publisher.state(&start.clone().into(), &start.into()).await;
        let (last, outcome) = match spawn(&args.command) {
            Ok((child, forward)) => ended(watch(child, forward, &publisher).await),
            Err(error) => {
                let status = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
                let reason = format!("cannot run {:?}: {error}", args.command.first().map_or("", String::as_str));
                (Error::new(reason.clone()).into(), Err(Failure::new(Exit::Status(status), reason)))
            }
        };
        publisher.state(&last, &last).await;
        finish(remote, &publisher, &args).await;
        outcome
    })
}

/// Starts the command, with its signals caught before it could be sent any.
fn spawn(command: &[String]) -> io::Result<(Child, Forward)> {
    let forward = Forward::catch()?;
    let (name, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let child = Command::new(name).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    Ok((child, forward))
}

/// Passes output and signals on until the command has ended.
async fn watch(mut child: Child, mut forward: Forward, publisher: &Publisher) -> io::Result<ExitStatus> {
    let id = child.id();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let pass = async {
        tokio::join!(output::pass(stdout, io::stdout(), "info", publisher), output::pass(stderr, io::stderr(), "warning", publisher));
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
        // What a process that outlives the command still writes is not the job's.
        let _ = timeout(REST, pass).await;
    }
    status
}

/// What the end of the command is to the listeners, and to the caller.
fn ended(status: io::Result<ExitStatus>) -> (Message, Outcome) {
    let status = match status {
        Ok(status) => status,
        Err(error) => {
            let reason = format!("the command is lost: {error}");
            return (Error::new(reason.clone()).into(), Err(Failure::new(Exit::Io, reason)));
        }
    };
    match (status.code(), status.signal()) {
        (Some(0), _) => (Complete::new(json!({ "exit": 0 })).into(), Ok(Exit::Fine)),
        (Some(code), _) => {
            let mut error = Error::new(format!("exit status {code}"));
            error.more.insert("exit".to_owned(), json!(code));
            // An exit status has eight bits.
            (error.into(), Ok(Exit::Status(u8::try_from(code).unwrap_or(u8::MAX))))
        }
        (None, signal) => {
            let signal = signal.unwrap_or_default();
            let mut error = Error::new(format!("ended by signal {signal}"));
            error.more.insert("signal".to_owned(), json!(signal));
            (error.into(), Ok(Exit::Status(128 + u8::try_from(signal).unwrap_or_default())))
        }
    }
}

/// Ends the stream and waits, not for ever, until the broker has it all.
async fn finish(remote: RemoteStream, publisher: &Publisher, args: &Args) {
    let closed = timeout(LAST_WORDS, async {
        remote.close(&args.stream).await?;
        remote.flush().await
    });
    let lost = match closed.await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("it did not answer in time".to_owned()),
    };
    if let Some(why) = lost {
        eprintln!("msgstream: the broker at {} may not know how the job ended: {why}", args.broker.address());
    }
    match publisher.left_out() {
        0 => {}
        lines => eprintln!("msgstream: {lines} lines of output were not published: the broker did not take them in time"),
    }
}
