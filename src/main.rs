//! The `msgstream` program.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod cli;

/// A broker for the progress of long-running jobs.
#[derive(Debug, Parser)]
#[command(name = "msgstream", version, about)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Loads a broker, checks all that it delivers, and reports throughput, latency and cost.
    Bench(Box<cli::bench::Args>),
}

fn main() -> ExitCode {
    let result = match Program::parse().command {
        Command::Bench(args) => cli::bench::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("msgstream: {error:#}");
            ExitCode::FAILURE
        }
    }
}
