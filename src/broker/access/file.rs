//! The file that says who may do what.
//!
//! It holds no token, only their SHA-256. What is wrong with it is told with its place and the cure, and without repeating what stands
//! there: somebody may have put a token into it.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;
use serde::Deserialize;
use toml::value::{Date, Datetime, Offset, Time};

use super::identity::{Digest, Identity, Proof};
use super::rights::Rights;
use crate::wire::ids::is_reserved;
use crate::wire::{holds_secret, showable};

/// A longer file is none of ours. Some thousands of tokens fit.
const LONGEST: u64 = 1 << 20;

/// The longest name of an identity, in bytes.
const LONGEST_NAME: usize = 64;

/// The file of the tokens cannot be used.
///
/// ```
/// use msgstream::broker::{AuthSettings, Server, Settings, TokensError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let settings = Settings::default().auth(AuthSettings::default().tokens("/nonexistent/tokens.toml"));
/// let error = Server::bind(&["127.0.0.1:0".parse()?], &settings).err().ok_or("nobody could be let in")?;
/// let why = error.error.get_ref().and_then(|why| why.downcast_ref::<TokensError>()).ok_or("it is the file")?;
/// assert_eq!(why.file.to_str(), Some("/nonexistent/tokens.toml"));
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[error("the tokens in {} cannot be used: {reason}", showable(&file.to_string_lossy()))]
pub struct TokensError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong, where, and what would be right.
    pub reason: String,
}

impl TokensError {
    /// The error for a log, in one line.
    pub(crate) fn line(&self) -> String {
        self.to_string().replace('\n', " ")
    }
}

/// What is otherwise when a file was changed or another one stands in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    /// Also of its owner and its rights, which may have been why it could not be read.
    changed: (i64, i64),
}

impl Stamp {
    /// Of the file as it stands; none if there is none.
    pub fn of(file: &Path) -> Option<Self> {
        let about = std::fs::metadata(file).ok()?;
        let (modified, changed) = ((about.mtime(), about.mtime_nsec()), (about.ctime(), about.ctime_nsec()));
        Some(Self { device: about.dev(), inode: about.ino(), length: about.len(), modified, changed })
    }
}

/// One table of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    sha256: Option<String>,
    unix_user: Option<User>,
    certificate: Option<String>,
    expires: Option<Datetime>,
    #[serde(default)]
    publish: Vec<String>,
    #[serde(default)]
    listen: Vec<String>,
    #[serde(default)]
    admin: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum User {
    Number(u32),
    Name(String),
}

/// Reads the file.
///
/// # Errors
/// [`TokensError`].
pub fn read_tokens(file: &Path) -> Result<Vec<Identity>, TokensError> {
    read(file).and_then(|text| parse_tokens(&text)).map_err(|reason| TokensError { file: file.to_owned(), reason })
}

/// The same of the text of a file that was read before, and said `before` then. Somebody may be writing it, or have stopped halfway: that
/// must not lock everybody out.
///
/// # Errors
/// What is wrong, and what would be right.
pub(super) fn parse_again(text: &str, before: &[Arc<Identity>]) -> Result<Vec<Identity>, String> {
    let identities = parse_tokens(text)?;
    if identities.iter().eq(before.iter().map(Arc::as_ref)) {
        return Ok(identities);
    }
    if identities.is_empty() {
        return Err("nobody is in it any more, as in a file that is just being written; if all are to be shut out, leave a table of somebody without \"publish\", \"listen\" and \"admin\", or restart the broker".to_owned());
    }
    if !text.ends_with('\n') {
        return Err("its last line has no end, so the rest may be missing; end it with a line break".to_owned());
    }
    Ok(identities)
}

pub(super) fn read(file: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| {
        let cure = match error.kind() {
            std::io::ErrorKind::NotFound => "; \"msgstream token new\" makes it, or name another in auth.tokens",
            std::io::ErrorKind::PermissionDenied => "; give it to the user that the broker runs as",
            _ => "",
        };
        format!("{error}{cure}")
    };
    let mut text = String::new();
    // Whoever writes into a pipe may take its time, and what was read once is not there again.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(file).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        let cure =
            if about.is_dir() { "it is a folder; name the file in it" } else { "it is no regular file; name one that can be read again" };
        return Err(cure.to_owned());
    }
    file.take(LONGEST + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    Ok(text)
}

/// Reads the text of such a file.
///
/// # Errors
/// What is wrong, and what would be right.
pub fn parse_tokens(text: &str) -> Result<Vec<Identity>, String> {
    let tables: BTreeMap<String, Written> = toml::from_str(text).map_err(|error| fault(text, &error))?;
    let mut identities: Vec<Identity> = Vec::with_capacity(tables.len());
    for (name, written) in tables {
        let identity = identity(&name, written).map_err(|why| format!("[{name}]: {why}"))?;
        if let Some(other) = identities.iter().find(|other| other.proof == identity.proof) {
            return Err(format!("[{name}] and [{}] have the same proof, so nobody could tell them apart; remove one", other.name));
        }
        identities.push(identity);
    }
    Ok(identities)
}

/// What the parser says, without the line that it would show: there may be a token in it.
fn fault(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map(|span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
    let place = line.map_or_else(String::new, |line| format!("line {line}: "));
    let told = error.message();
    // A message names keys and kinds of values; where it repeats a value, only its beginning up to the first quote is sure to be ours.
    let told = if holds_secret(told) { "there is a token here; the file holds only their sha256" } else { told };
    format!(
        "{place}{told}; write a table for each, such as\n[fit-jobs]\nsha256 = \"64 digits, as msgstream token new prints them\"\npublish = [\"fit-\"]\nlisten = [\"fit-\"]"
    )
}

fn identity(name: &str, written: Written) -> Result<Identity, String> {
    check_name(name)?;
    let Written { sha256, unix_user, certificate, expires, publish, listen, admin } = written;
    let proof = match (sha256, unix_user, certificate) {
        (Some(digits), None, None) => Proof::Token(
            Digest::from_hex(&digits)
                .ok_or_else(|| "\"sha256\" must be the 64 digits of a token's SHA-256; \"msgstream token new\" writes them".to_owned())?,
        ),
        (None, Some(user), None) => Proof::UnixUser(number_of(user)?),
        (None, None, Some(certificate)) if certificate.is_empty() => return Err("the name of the certificate is empty".to_owned()),
        (None, None, Some(certificate)) => Proof::Certificate(certificate.into()),
        _ => return Err("there must be one of \"sha256\", \"unix_user\" and \"certificate\", which prove who somebody is".to_owned()),
    };
    let expires = expires.map(moment).transpose()?;
    let rights = Rights { publish: prefixes("publish", publish)?, listen: prefixes("listen", listen)?, admin };
    Ok(Identity { name: name.into(), proof, expires, rights })
}

/// Whether an identity may be called so.
///
/// # Errors
/// What would be right.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_good =
        (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_good { Ok(()) } else { Err(format!("a name has 1 to {LONGEST_NAME} letters, digits, - and _, without quotes")) }
}

/// The prefixes that a right is for.
fn prefixes(right: &str, prefixes: Vec<String>) -> Result<Vec<Box<str>>, String> {
    if let Some(reserved) = prefixes.iter().find(|prefix| is_reserved(prefix.as_bytes())) {
        return Err(format!(
            "\"{right}\" has the prefix {reserved:?}: what begins with $ is the broker's own; who may listen to a stream may know how it stands, and admin = true tells all"
        ));
    }
    Ok(prefixes.into_iter().map(String::into_boxed_str).collect())
}

/// The number of a user.
fn number_of(user: User) -> Result<u32, String> {
    let name = match user {
        User::Number(number) => return Ok(number),
        User::Name(name) => name,
    };
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(&name)).then(|| fields.nth(1)?.parse().ok())?
    });
    number.ok_or_else(|| format!("/etc/passwd has no user {name:?}; write the number that \"id -u {name}\" prints"))
}

/// A time as TOML writes it: with a zone, or a day, which counts from its beginning in UTC.
fn moment(written: Datetime) -> Result<SystemTime, String> {
    let example = "\"expires\" must be a time with its zone or a day, without quotes, such as 2027-01-31T12:00:00Z or 2027-01-31";
    let (date, seconds) = match written {
        Datetime { date: Some(date), time: None, offset: None } => (date, 0),
        Datetime { date: Some(date), time: Some(time), offset: Some(offset) } => {
            let Time { hour, minute, second, .. } = time;
            let minutes = match offset {
                Offset::Z => 0,
                Offset::Custom { minutes } => i64::from(minutes),
            };
            (date, i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second.unwrap_or(0)) - minutes * 60)
        }
        _ => return Err(example.to_owned()),
    };
    let seconds = days_since_1970(date) * 86400 + seconds;
    // Whatever was before 1970 is over.
    Ok(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// After Howard Hinnant's `days_from_civil`: years begin in March, so that the leap day is the last.
fn days_since_1970(Date { year, month, day }: Date) -> i64 {
    let (year, month) = (i64::from(year) - i64::from(month <= 2), i64::from(month));
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn one(text: &str) -> Identity {
        let mut all = parse_tokens(&text.replace("HASH", &format!("sha256 = '{DIGITS}'"))).unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn each_table_is_somebody() {
        let known = one("# ours\n[fit-jobs]\nHASH\npublish = ['fit-', '']\nlisten = [\"b\"]\nadmin = true");
        assert_eq!((&*known.name, known.expires), ("fit-jobs", None));
        assert_eq!(known.proof, Proof::Token(Digest::from_hex(DIGITS).unwrap()));
        assert_eq!((known.rights.publish.len(), known.rights.listen.len(), known.rights.admin), (2, 1, true));
        assert_eq!(one("[a]\nunix_user = 1000").proof, Proof::UnixUser(1000));
        assert_eq!(one("[a]\nunix_user = 'root'").proof, Proof::UnixUser(0));
        assert_eq!(one("[a]\ncertificate = 'node-7'").proof, Proof::Certificate("node-7".into()));
        assert_eq!(one("[a]\nHASH").rights, Rights::default());
        assert_eq!(parse_tokens("").unwrap(), []);
    }

    #[test]
    fn a_time_counts_from_its_moment() {
        let seconds = |written: &str| {
            let expires = one(&format!("[a]\nHASH\nexpires = {written}")).expires.unwrap();
            expires.duration_since(UNIX_EPOCH).unwrap().as_secs()
        };
        // As `date -d ... +%s` prints them.
        for (written, moment) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2026-11-29T04:00:00Z", 1_795_924_800),
            ("2026-11-29T05:30:00+01:30", 1_795_924_800),
            ("2100-03-01", 4_107_542_400),
            ("1969-12-31", 0),
        ] {
            assert_eq!(seconds(written), moment, "{written}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_without_what_stands_there() {
        for (text, parts) in [
            ("[a]\nHASH\npublsh = ['x']", &["line 3: ", "unknown field `publsh`", "publish"][..]),
            ("[a", &["line 1: "]),
            ("[a]\nHASH\n[b]\nHASH", &["[b] and [a] have the same proof"]),
            ("[a]\nHASH\n[a]\nunix_user = 1", &["line 3: ", "duplicate"]),
            ("[a]\nunix_user = 1\ncertificate = 'x'", &["[a]: there must be one of"]),
            ("[a]", &["[a]: there must be one of"]),
            ("[a]\nsha256 = 'mst_0123'", &["[a]: \"sha256\" must be the 64 digits"]),
            ("[a]\ncertificate = ''", &["[a]: the name of the certificate is empty"]),
            ("[a]\nunix_user = 'no such user'", &["[a]: /etc/passwd has no user \"no such user\"", "id -u"]),
            ("[\"a b\"]\nHASH", &["[a b]: a name has"]),
            ("[a]\nHASH\nlisten = ['$streams/']", &["[a]: \"listen\" has the prefix \"$streams/\"", "admin = true"]),
            ("[a]\nHASH\nexpires = 2027-01-01T00:00:00", &["[a]: \"expires\" must be a time with its zone"]),
            ("[a]\nHASH\nexpires = '2027-01-01'", &["line 3: "]),
            ("[a]\nHASH\npublish = 'mst_0123'", &["line 3: ", "there is a token here"]),
            ("token = \"mst_0123\"", &["line 1: "]),
            ("[a]\nmst_0123", &["line 2: "]),
        ] {
            let reason = parse_tokens(&text.replace("HASH", &format!("sha256 = '{DIGITS}'"))).unwrap_err();
            for part in parts {
                assert!(reason.contains(part), "{part:?} is not in: {reason}");
            }
            assert!(!reason.contains("0123"), "{reason}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_the_cure() {
        let told = read_tokens(Path::new("/nonexistent/tokens.toml")).unwrap_err().to_string();
        assert!(told.contains("/nonexistent/tokens.toml") && told.contains("msgstream token new"), "{told}");
        let told = read_tokens(Path::new("mst_0123")).unwrap_err().to_string();
        assert!(told.contains("there is a token") && !told.contains("0123"), "{told}");
        let told = read_tokens(&std::env::temp_dir()).unwrap_err().to_string();
        assert!(told.contains("it is a folder; name the file in it"), "{told}");
    }

    // Seen to fail when it was opened to wait for a writer: the test did not end.
    #[test]
    fn a_pipe_is_refused_whether_somebody_writes_into_it_or_not() {
        let pipe = std::env::temp_dir().join(format!("msgstream-tokens-pipe-{}", std::process::id()));
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::from(0o600), 0).unwrap();
        let told = read_tokens(&pipe).unwrap_err().to_string();
        let _both_ends = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        assert_eq!(read_tokens(&pipe).unwrap_err().to_string(), told);
        assert!(told.contains("it is no regular file"), "{told}");
        std::fs::remove_file(pipe).unwrap();
    }

    #[test]
    fn what_may_be_half_written_is_not_read_again() {
        let again = |text: &str, before: &str| {
            let before: Vec<_> = parse_tokens(before).unwrap().into_iter().map(Arc::new).collect();
            parse_again(text, &before).map(|known| known.len())
        };
        let two = "[a]\nunix_user = 1\n[b]\nunix_user = 2\n";
        assert_eq!(again("[a]\nunix_user = 1\n", two), Ok(1));
        assert!(again("[a]\nunix_user = 1", two).unwrap_err().contains("its last line has no end"));
        for empty in ["", "\n", "# Who may do what\n", "# Who may"] {
            assert!(again(empty, two).unwrap_err().contains("nobody is in it any more"), "{empty:?}");
            assert_eq!(again(empty, ""), Ok(0), "{empty:?}: so it was");
        }
        assert_eq!(again(two.trim_end(), two), Ok(2), "so it was");
        assert_eq!(again(two, ""), Ok(2));
    }
}
