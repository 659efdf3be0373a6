//! The `msgstream` program; see `src/cli`.

use std::process::ExitCode;

/// Queues grow and drain by hundreds of megabytes, and this allocator gives the memory back.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    msgstream::internal::cli::main()
}
