//! The command line: one module for each subcommand, and what they share.

mod bench;
mod exit;
mod log;
mod port_file;
mod serve;
mod signals;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use exit::Exit;

/// A broker for the progress of long-running jobs.
///
/// A job publishes messages to a stream, one JSON object per line over TCP or a Unix socket. Whoever listens gets the stream's
/// header at once, then every later message, in order, until the stream ends.
#[derive(Debug, Parser)]
#[command(name = "msgstream", version, max_term_width = 100, arg_required_else_help = true, after_long_help = AFTER_HELP, after_help = AFTER_HELP)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  msgstream serve                        listen on 127.0.0.1:7342
  msgstream serve --help                 every flag, and the exit codes

  Watch a stream, then publish to it from another terminal:
    printf '{\"action\":\"listen\",\"stream\":\"job-1\"}\\n' | nc 127.0.0.1 7342
    printf '{\"action\":\"put\",\"stream\":\"job-1\",\"message\":42}\\n' | nc -N 127.0.0.1 7342";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Bench(Box<bench::Args>),
}

/// Runs the program. Its own mistakes and the user's go to standard error, each with an exit code of its own.
pub(crate) fn main() -> ExitCode {
    let program = match Program::try_parse() {
        Ok(program) => program,
        Err(told) => {
            // A reader that has gone, such as `head`, is no failure.
            let _ = told.print();
            return match told.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Fine,
                _ => Exit::Usage,
            }
            .into();
        }
    };
    let outcome = match program.command {
        Command::Serve(args) => serve::run(args),
        Command::Bench(args) => bench::run(&args),
    };
    match outcome {
        Ok(()) => Exit::Fine.into(),
        Err(failure) => {
            eprintln!("msgstream: {}", whole_story(&failure.error));
            failure.exit.into()
        }
    }
}

/// An error and its causes, each said once: some repeat their cause in their own text.
fn whole_story(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .reduce(|told, cause| if told.contains(&cause) { told } else { format!("{told}: {cause}") })
        .unwrap_or_default()
}
