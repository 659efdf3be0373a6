//! The command line: one module for each subcommand, and what they share.

#[cfg(feature = "bench")]
mod bench;
mod broker;
mod clock;
mod close;
mod completions;
pub mod config;
mod connecting;
mod delete;
mod directory;
mod ending;
mod entry;
pub(crate) mod exit;
mod get;
mod handed_in;
mod header;
mod health;
mod input;
mod listen;
mod log;
mod man;
mod nodes;
mod port_file;
mod prefixed;
mod put;
mod reload;
mod run;
mod serve;
mod settings;
mod signals;
mod standard;
mod store;
mod stream_args;
mod stream_names;
mod streams;
mod supervisor;
mod table;
mod text;
mod token;
mod token_file;
mod top;
mod view;
mod wait;
mod wire_lines;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use exit::Exit;

/// A broker for the progress of long-running jobs.
///
/// A job publishes messages to a stream, one JSON object per line over TCP or a Unix socket. A listener gets the stream's header
/// at once, and then every later message, in order, until the stream ends.
#[derive(Debug, Parser)]
#[command(name = "msgstream", version, max_term_width = 100, arg_required_else_help = true, after_long_help = AFTER_HELP, after_help = AFTER_HELP)]
struct Program {
    #[command(subcommand)]
    command: Commands,
}

const AFTER_HELP: &str = "\
Examples:
  msgstream serve                              listen on 127.0.0.1:7342
  msgstream serve --help                       every flag, and the exit codes
  msgstream listen job-1                       progress bars on a terminal, lines in a pipe
  msgstream run job-1 -- make all              run any command as a job that others can watch
  msgstream put job-1 '{\"k\":3,\"total\":10}'     publish a message
  msgstream wait job-1 && echo done            wait until a job has ended
  msgstream top                                all jobs live, on a terminal

Any language can take part; the protocol is one JSON object per line:
  printf '{\"action\":\"listen\",\"stream\":\"job-1\"}\\n' | nc 127.0.0.1 7342
  printf '{\"action\":\"put\",\"stream\":\"job-1\",\"message\":42}\\n' | nc -N 127.0.0.1 7342";

#[derive(Debug, Subcommand)]
enum Commands {
    Serve(serve::Args),
    Listen(listen::Args),
    Put(put::Args),
    Header(header::Args),
    Close(close::Args),
    Delete(delete::Args),
    Get(get::Args),
    Wait(wait::Args),
    Streams(directory::Args),
    Nodes(nodes::Args),
    Top(top::Args),
    Health(health::Args),
    Run(run::Args),
    Token(token::Args),
    Store(store::Args),
    #[command(name = run::terminal::ON_TERMINAL, hide = true)]
    OnTerminal(run::terminal::Args),
    #[cfg(feature = "bench")]
    Bench(Box<bench::Args>),
    Config(settings::Args),
    Completions(completions::Args),
    #[command(name = stream_names::STREAM_NAMES, hide = true)]
    StreamNames(stream_names::Args),
    Man(man::Args),
}

/// Runs the program. Errors go to standard error, each kind with an exit code of its own.
pub fn main() -> ExitCode {
    let program = match Program::try_parse() {
        Ok(program) => program,
        Err(told) if told.kind() == ErrorKind::Io => {
            let told = told.to_string();
            let why = told.trim_start_matches("error: ");
            // How a command is written is no cure.
            standard::say(why.split_once("\n\nUsage: ").map_or(why, |(why, _)| why).trim_end());
            return Exit::Config.into();
        }
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
        Commands::Serve(args) => serve::run(args).map(|()| Exit::Fine),
        Commands::Listen(args) => listen::run(args),
        Commands::Put(args) => put::run(args),
        Commands::Header(args) => header::run(args),
        Commands::Close(args) => close::run(args),
        Commands::Delete(args) => delete::run(args),
        Commands::Get(args) => get::run(args),
        Commands::Wait(args) => wait::run(args),
        Commands::Streams(args) => directory::run(args),
        Commands::Nodes(args) => nodes::run(args),
        Commands::Top(args) => top::run(args),
        Commands::Health(args) => health::run(args),
        Commands::Run(args) => run::run(args),
        Commands::Token(args) => token::run(args),
        Commands::Store(args) => store::run(&args),
        Commands::OnTerminal(args) => run::terminal::on_terminal(&args),
        #[cfg(feature = "bench")]
        Commands::Bench(args) => bench::run(&args),
        Commands::Config(args) => settings::run(&args).map(|()| Exit::Fine),
        Commands::Completions(args) => completions::run(&args, Program::command()),
        Commands::StreamNames(args) => stream_names::run(args),
        Commands::Man(args) => man::run(&args, Program::command()),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            standard::say(whole_story(&failure.error));
            failure.exit.into()
        }
    }
}

/// An error and its causes, each printed once: some repeat their cause in their own text.
fn whole_story(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .reduce(|told, cause| if told.contains(&cause) { told } else { format!("{told}: {cause}") })
        .unwrap_or_default()
}
