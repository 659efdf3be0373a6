//! `msgstream token`: makes, lists and revokes tokens.

#[macro_use]
mod exit_codes;
mod list;
mod new;
pub(super) mod place;
mod store;

use super::exit::{Exit, Outcome};
use super::standard::say;

use exit_codes::EXIT_CODES;
use place::Place;

/// Make, list and revoke the tokens that a broker lets clients in with
///
/// They stand in a file that the broker reads: its setting auth.tokens. A running broker reads it again about two seconds after it has
/// changed. It holds no token, only the SHA-256 of each, so that who reads it can use none. It can also be edited by hand; what stands in
/// it stays, comments included.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Commands,
}

#[derive(Debug, clap::Subcommand)]
enum Commands {
    New(new::Args),
    List(list::Args),
    Revoke(Revoke),
}

/// Revoke a token
///
/// Once a running broker has read the file again, about two seconds later, the token lets nobody in, and connections that were let in
/// with it are ended. The broker reads the file when it has looked the same twice, a second apart; at once if it gets SIGHUP.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
struct Revoke {
    /// The name that was given to it
    name: String,
    #[command(flatten)]
    place: Place,
}

const AFTER_HELP: &str = concat!(
    "\
Examples:
  msgstream token new fits --publish fit- --listen fit- --expires 90d
  msgstream token new dashboard --listen '' --admin        everything, to look at
  msgstream token new operator --publish '' --listen '' --admin
  msgstream token new probe                                no right, for msgstream health
  msgstream token list
  msgstream token revoke fits
  MSGSTREAM_TOKEN=mst_... msgstream put fit-1 42           show a token

",
    exit_codes!()
);

pub(crate) fn run(args: Args) -> Outcome {
    match args.command {
        Commands::New(args) => new::run(&args),
        Commands::List(args) => list::run(&args),
        Commands::Revoke(Revoke { name, place }) => {
            store::edit(&place.file, |text| store::without(text, &name))?;
            say(format_args!(
                "\"{name}\" is revoked once a running broker has read the file again, about two seconds from now; then its connections are ended"
            ));
            Ok(Exit::Fine)
        }
    }
}
