//! `msgstream store compact`.

use crate::broker::store::compact;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::standard::print;

use super::exit_codes::EXIT_CODES;
use super::place::{Place, failure};

/// Make the file of a store as small as it can be
///
/// A store uses room again that has become free, but gives little of it back to the system while it runs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: &Args) -> Outcome {
    let (before, after) = compact(&args.place.path).map_err(failure)?;
    print(format!("before  {before} bytes\nafter   {after} bytes\n").as_bytes())?;
    Ok(Exit::Fine)
}
