//! `msgstream bench`: the load generator, with the program's exit codes.

use crate::bench::{self, BenchError};

use super::exit::{Exit, OrExit, Outcome};

pub(crate) use crate::bench::Args;

pub(crate) fn run(args: &Args) -> Outcome {
    match bench::run(args) {
        Ok(()) => Ok(Exit::Fine),
        Err(BenchError::Options(error)) => Err(error).or_exit(Exit::Usage),
        Err(BenchError::Run(error)) => Err(error).or_exit(Exit::Failed),
    }
}
