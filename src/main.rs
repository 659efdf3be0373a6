//! The `msgstream` program: reads the command line, runs a subcommand, and turns its outcome into an exit code.

mod cli;

use std::process::ExitCode;

/// Queues grow and drain by hundreds of megabytes, and this allocator gives the memory back.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
