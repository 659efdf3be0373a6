//! `msgstream store check`.

use crate::broker::store::{Census, Look, StoreError};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::standard::print;

use super::exit_codes::EXIT_CODES;
use super::place::{Place, failure, now};

/// Read all of a store, and tell whether it holds what was written
///
/// Prints what is in it, and whether the broker stopped in good order: only then can listeners come back to it without a gap. The file
/// stays as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
pub(super) struct Args {
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: &Args) -> Outcome {
    let checked = Look::open(&args.place.path).and_then(|look| Ok((look.census()?, look.read_clock(now())?, look.size())));
    let (census, loaded, size) = checked.map_err(told)?;
    let Census { running, ended, waiting, wills, sessions, windows, messages } = census;
    let stop = match loaded.life {
        Some(_) => "in good order",
        None => "not in good order, or there was none yet: listeners that come back are told that messages may be missing",
    };
    print(
        format!(
            "ok\n  streams    {running} running, {ended} ended, {waiting} waiting\n  wills      {wills}\n  sessions   {sessions}\n  \
             windows    {windows}, with {messages} messages\n  size       {size} bytes\n  last stop  {stop}\n"
        )
        .as_bytes(),
    )?;
    Ok(Exit::Fine)
}

/// Who has just checked it needs not be told to.
fn told(error: StoreError) -> Failure {
    match error {
        StoreError::Damaged { path, what } => Failure::new(
            Exit::Failed,
            format!("the store {} is damaged: {what}; move the file away to begin anew; a copy of it helps the developers", path.display()),
        ),
        other => failure(other),
    }
}
