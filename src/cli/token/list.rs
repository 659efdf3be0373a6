//! `msgstream token list`.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde_json::json;

use crate::broker::access::{Identity, Proof, read_tokens};
use crate::cli::exit::{Exit, OrExit, Outcome};
use crate::cli::standard::print;
use crate::cli::text::inline;

use super::exit_codes::EXIT_CODES;
use super::place::Place;

/// List who is let in, and what they may do
///
/// The tokens themselves are not known.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
pub(super) struct Args {
    /// Print each as a JSON object on a line of its own
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: &Args) -> Outcome {
    let known = read_tokens(&args.place.file).or_exit(Exit::Config)?;
    let now = SystemTime::now();
    let text = if args.json { known.iter().map(|identity| object(identity, now)).collect() } else { table(&known, now) };
    print(text.as_bytes())?;
    Ok(Exit::Fine)
}

fn object(identity: &Identity, now: SystemTime) -> String {
    let Identity { name, rights, .. } = identity;
    let (kind, who) = proof(&identity.proof);
    let object = json!({
        "name": name,
        "proof": kind,
        "who": who,
        "expires": expires(identity),
        "expired": identity.is_expired(now),
        "publish": rights.publish,
        "listen": rights.listen,
        "admin": rights.admin,
    });
    format!("{object}\n")
}

/// The kind of a proof, and who it is if it is no token.
fn proof(proof: &Proof) -> (&'static str, Option<String>) {
    match proof {
        Proof::Token(_) => ("token", None),
        Proof::UnixUser(user) => ("unix_user", Some(user.to_string())),
        Proof::Certificate(name) => ("certificate", Some(name.to_string())),
    }
}

fn expires(identity: &Identity) -> Option<String> {
    let seconds = identity.expires?.duration_since(UNIX_EPOCH).ok()?.as_secs();
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok().map(|moment| moment.to_string())
}

fn table(known: &[Identity], now: SystemTime) -> String {
    let head = ["NAME", "PROOF", "EXPIRES", "PUBLISH", "LISTEN", "ADMIN"].map(str::to_owned);
    let prefixes = |prefixes: &[Box<str>]| match prefixes {
        [] => "-".to_owned(),
        some => inline(&some.iter().map(|prefix| format!("{prefix}*")).collect::<Vec<_>>().join(" ")),
    };
    let rows = known.iter().map(|identity| {
        let Identity { name, rights, .. } = identity;
        let proof = match proof(&identity.proof) {
            (kind, Some(who)) => inline(&format!("{kind} {who}")),
            (kind, None) => kind.to_owned(),
        };
        let expires = match expires(identity) {
            Some(moment) if identity.is_expired(now) => format!("{moment} (over)"),
            Some(moment) => moment,
            None => "-".to_owned(),
        };
        let admin = if rights.admin { "yes" } else { "-" };
        [name.to_string(), proof, expires, prefixes(&rights.publish), prefixes(&rights.listen), admin.to_owned()]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let widths: [usize; 6] = std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let line = |row: &[String; 6]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
