//! `msgstream store`: looks at the file in which a broker keeps its streams.

#[macro_use]
mod exit_codes;
mod check;
mod compact;
mod dump;
mod place;

use super::exit::Outcome;

/// Check, print or shrink the file in which a broker keeps its streams
///
/// None of them works beside a broker that runs with the file; stop the broker first, or take a copy. Only compact changes the file: the
/// others leave it as it is, also if the broker was killed.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Commands,
}

#[derive(Debug, clap::Subcommand)]
enum Commands {
    Check(check::Args),
    Dump(dump::Args),
    Compact(compact::Args),
}

const AFTER_HELP: &str = concat!(
    "\
Examples:
  msgstream store check /var/lib/msgstream/store
  msgstream store dump /var/lib/msgstream/store | grep '\"state\":\"running\"'
  msgstream store dump --messages /var/lib/msgstream/store > all.jsonl
  msgstream store compact /var/lib/msgstream/store

",
    exit_codes!()
);

pub(crate) fn run(args: &Args) -> Outcome {
    match &args.command {
        Commands::Check(args) => check::run(args),
        Commands::Dump(args) => dump::run(args),
        Commands::Compact(args) => compact::run(args),
    }
}
