//! `msgstream token new`.

use std::fmt::Write;

use anyhow::Context;
use jiff::Timestamp;
use jiff::civil::Date;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::broker::access::{Digest, check_name};
use crate::cli::exit::{Exit, OrExit, Outcome};
use crate::cli::standard::{print, say};
use crate::client::Token;
use crate::wire::TOKEN_START;
use crate::wire::units::Span;

use super::exit_codes::EXIT_CODES;
use super::place::Place;
use super::store;

/// Make a token, and print it once
///
/// It is printed to standard output, and cannot be shown again: the file keeps only its SHA-256. It counts once a running broker has read
/// the file again, about two seconds later.
///
/// A right is for all streams whose names begin with its prefix; the prefix '' is for all. A token without any right is enough for
/// "msgstream health".
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
pub(super) struct Args {
    /// What to call it: letters, digits, - and _
    #[arg(value_parser = name)]
    name: String,
    /// It may publish to streams whose names begin so; can be repeated
    #[arg(long, value_name = "PREFIX")]
    publish: Vec<String>,
    /// It may listen to streams whose names begin so, and know how they stand; can be repeated
    #[arg(long, value_name = "PREFIX")]
    listen: Vec<String>,
    /// It may know what others do: the directory of all streams
    #[arg(long)]
    admin: bool,
    /// It counts for this time, such as 90d, or until this day or moment (2027-01-31, 2027-01-31T12:00:00Z) [default: for ever]
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    expires: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// How many random bytes a token has: nobody finds it by trying.
const RANDOM: usize = 24;

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

/// A moment as TOML writes it.
fn expiry(text: &str) -> Result<String, String> {
    let wrong = |_| "write a time such as 90d, a day such as 2027-01-31, or a moment such as 2027-01-31T12:00:00Z".to_owned();
    if let Ok(Span(time)) = text.parse::<Span>() {
        return in_future(Timestamp::now().checked_add(time).map_err(|error| error.to_string())?);
    }
    // A moment would be read as its day.
    if !text.contains(['T', 't', ' ', ':', '['])
        && let Ok(day) = text.parse::<Date>()
    {
        // As TOML writes it, whatever other forms there are.
        let day = day.strftime("%Y-%m-%d").to_string();
        return in_future(format!("{day}T00:00:00Z").parse().map_err(wrong)?).map(|_| day);
    }
    in_future(text.parse().map_err(|error: jiff::Error| wrong(error))?)
}

fn in_future(moment: Timestamp) -> Result<String, String> {
    // Whole seconds are written.
    let moment = Timestamp::from_second(moment.as_second()).map_err(|error| error.to_string())?;
    if moment <= Timestamp::now() {
        return Err("that is over already; write a later time".to_owned());
    }
    Ok(moment.to_string())
}

pub(super) fn run(args: &Args) -> Outcome {
    let token = random().context("the system gives no random bytes").or_exit(Exit::Io)?;
    let known = Token::new(&token).or_exit(Exit::Internal)?;
    store::edit(&args.place.file, |text| store::with(text, &args.name, &table(args, &Digest::of(&known))))?;
    let until = args.expires.as_ref().map_or_else(String::new, |expires| format!(", until {expires}"));
    say(format_args!(
        "this token of \"{}\" counts once the broker has read {}{until}; it is not shown again",
        args.name,
        args.place.file.display()
    ));
    if args.publish.is_empty() && args.listen.is_empty() && !args.admin {
        say(
            "it has no right to any stream: it serves to show that the broker is there, as \"msgstream health\" does; --publish PREFIX, --listen PREFIX and --admin give rights",
        );
    }
    print(format!("{token}\n").as_bytes())?;
    Ok(Exit::Fine)
}

fn random() -> rustix::io::Result<String> {
    let mut bytes = [0; RANDOM];
    let count = getrandom(&mut bytes, GetRandomFlags::empty())?;
    // A request this short is always filled.
    if count != RANDOM {
        return Err(rustix::io::Errno::IO);
    }
    Ok(bytes.iter().fold(TOKEN_START.to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// The table of the token.
fn table(args: &Args, digest: &Digest) -> String {
    let list = |prefixes: &[String]| {
        // What JSON writes of a text, TOML reads.
        let prefixes: Vec<_> = prefixes.iter().map(|prefix| serde_json::Value::from(prefix.as_str()).to_string()).collect();
        format!("[{}]", prefixes.join(", "))
    };
    let mut text = format!("[{}]\nsha256 = \"{digest}\"\n", args.name);
    if let Some(expires) = &args.expires {
        text += &format!("expires = {expires}\n");
    }
    for (right, prefixes) in [("publish", &args.publish), ("listen", &args.listen)] {
        if !prefixes.is_empty() {
            text += &format!("{right} = {}\n", list(prefixes));
        }
    }
    if args.admin {
        text += "admin = true\n";
    }
    text
}
