//! The `msgstream` program.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use msgstream::server::{Address, Server, Settings};

mod cli;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A broker for the progress of long-running jobs.
#[derive(Debug, Parser)]
#[command(name = "msgstream", version, about, args_conflicts_with_subcommands = true)]
struct Program {
    #[command(subcommand)]
    command: Option<Command>,
    /// Where to listen
    #[arg(default_value = "127.0.0.1:7342")]
    listen: Address,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Loads a broker, checks all that it delivers, and reports throughput, latency and cost.
    Bench(Box<cli::bench::Args>),
}

fn main() -> ExitCode {
    let program = Program::parse();
    let result = match program.command {
        Some(Command::Bench(args)) => cli::bench::run(&args),
        None => serve(program.listen),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("msgstream: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(listen: Address) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(1).build()?;
    runtime.block_on(async {
        let server = Server::bind(&[listen], &Settings::default())?;
        eprintln!("listening on {}", server.addresses()[0]);
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let terminated = async {
            term.recv().await;
        };
        Ok(server.run(terminated, std::future::pending()).await?)
    })
}
