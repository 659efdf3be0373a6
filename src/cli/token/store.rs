//! Changes the file of the tokens: one change at a time, whole or not at all.
//!
//! The text is changed where it has to be, so that comments stay. What comes out is read as the broker reads it, and compared with what
//! was meant; a file that is written in some other way is left alone.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::broker::access::{Identity, parse_tokens};
use crate::cli::exit::{Exit, Failure, OrExit};

/// What a new file begins with.
const HEAD: &str = "\
# Who may do what on the msgstream broker that has this file in its setting auth.tokens. \"msgstream token new\" and \"revoke\" change it;
# what is written by hand stays. A table names somebody, what proves it (the sha256 of a token, a unix_user, or the name in a client
# certificate), until when it counts, and how the names of the streams begin that they may publish and listen to.
";

/// What is left when the last is revoked.
const NOBODY: &str = "\
[nobody]
# Nobody has this token. A broker that runs takes a file without a table for one that is being written.
sha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"
";

/// How long another program may have the file for itself.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// A change of the text: the new text, or why there is none.
type Changed = Result<String, String>;

/// Changes the file.
pub(super) fn edit(file: &Path, change: impl FnOnce(&str) -> Changed) -> Result<(), Failure> {
    // A link stays one: what it leads to is changed.
    let path = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let name = || format!("cannot write {}", file.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let _lock = lock(folder).with_context(name).or_exit(Exit::Io)?;
    let before = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => HEAD.to_owned(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())).or_exit(Exit::Io),
    };
    let after = change(&before).map_err(|why| Failure::new(Exit::Config, format!("{}: {why}", file.display())))?;
    replace(&path, folder, &after).with_context(name).or_exit(Exit::Io)
}

/// The text with one table more.
pub(super) fn with(text: &str, name: &str, table: &str) -> Changed {
    // There is somebody again.
    let text = &text.replacen(NOBODY, "", 1);
    let before = parse_tokens(text)?;
    if before.iter().any(|identity| &*identity.name == name) {
        return Err(format!("there is a \"{name}\" already; choose another name, or revoke that one first"));
    }
    let gap = if text.is_empty() || text.ends_with("\n\n") {
        ""
    } else if text.ends_with('\n') {
        "\n"
    } else {
        "\n\n"
    };
    let after = format!("{text}{gap}{table}");
    let known = parse_tokens(&after)?;
    let (added, others): (Vec<_>, Vec<_>) = known.into_iter().partition(|identity| &*identity.name == name);
    if added.len() == 1 && others == before { Ok(after) } else { Err(by_hand("add", name)) }
}

/// The text without a table.
pub(super) fn without(text: &str, name: &str) -> Changed {
    let before = parse_tokens(text)?;
    if !before.iter().any(|identity| &*identity.name == name) {
        return Err(format!("there is no \"{name}\"; \"msgstream token list\" shows the names"));
    }
    let mut after = String::with_capacity(text.len());
    // What stands between the table's last line and the next table belongs to that one, most likely.
    let (mut is_within, mut between) = (false, String::new());
    for line in text.split_inclusive('\n') {
        let told = line.trim_start();
        if told.starts_with('[') {
            is_within = told.strip_prefix('[').and_then(|rest| rest.split_once(']')).is_some_and(|(header, _)| header.trim() == name);
            after += &std::mem::take(&mut between);
        }
        if !is_within {
            after += line;
        } else if told.trim_end().is_empty() || told.starts_with('#') {
            between += line;
        } else {
            between.clear();
        }
    }
    after += &between;
    // A running broker takes a last line without an end for a file that is being written, and one with nobody in it too.
    if !after.is_empty() && !after.ends_with('\n') {
        after.push('\n');
    }
    let mut others: Vec<Identity> = before.into_iter().filter(|identity| &*identity.name != name).collect();
    if others.is_empty() {
        after += NOBODY;
        others = parse_tokens(NOBODY)?;
    }
    if parse_tokens(&after).is_ok_and(|known| known == others) { Ok(after) } else { Err(by_hand("remove", name)) }
}

fn by_hand(what: &str, name: &str) -> String {
    format!("the file is written in a way that cannot be changed safely here; {what} the table [{name}] by hand")
}

/// The directory of the file unless it is named. It is made.
const FOLDER: &str = "/etc/msgstream";

/// The right to change files in the folder, for as long as the value lives. The lock is the kernel's, so it ends with the process.
fn lock(folder: &Path) -> anyhow::Result<File> {
    if !folder.exists() {
        // Any other is a path that was mistyped, or is for the administrator to make.
        if folder != Path::new(FOLDER) {
            anyhow::bail!("there is no directory {}; if the path is right, make it with mkdir", folder.display());
        }
        // Another program may make it at this moment.
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    let (folder, began) = (File::open(folder)?, Instant::now());
    loop {
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(folder),
            Err(Errno::WOULDBLOCK) if began.elapsed() < PATIENCE => sleep(PAUSE),
            Err(Errno::WOULDBLOCK) => anyhow::bail!("another program has had its folder locked for {PATIENCE:?}"),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Puts the text in the place of the file in one step. Who may read the file stays as it was; of a new one only its owner may.
fn replace(path: &Path, folder: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = write(path, &unfinished, text).and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        // It may not even have been created.
        let _ = fs::remove_file(&unfinished);
    }
    written?;
    // So that a crash of the machine does not bring a revoked token back.
    File::open(folder)?.sync_all()
}

fn write(path: &Path, unfinished: &PathBuf, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(unfinished)?;
    if let Ok(before) = fs::metadata(path) {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (before.uid(), before.gid()) {
            fchown(&file, Some(before.uid()), Some(before.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(before.mode() & 0o777))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(digit: u8) -> String {
        format!("sha256 = \"{}\"\n", format!("{digit:02x}").repeat(32))
    }

    #[test]
    fn comments_and_the_other_tables_stay() {
        let one = format!(
            "# all of ours\n\n# of the fits\n[fits]\n{}publish = [\n  'fit-', # a comment\n]\n\n# of another\n[ other ]\n{}",
            hash(1),
            hash(2)
        );
        let with_third = with(&one, "third", &format!("[third]\n{}", hash(3))).unwrap();
        assert_eq!(with_third, format!("{one}\n[third]\n{}", hash(3)));
        assert_eq!(without(&with_third, "third").unwrap(), format!("{one}\n"));
        assert_eq!(without(&one, "fits").unwrap(), format!("# all of ours\n\n# of the fits\n\n# of another\n[ other ]\n{}", hash(2)));
        let no_end = format!("[b]\n{}[a]\n{}# the end", hash(2), hash(1));
        assert_eq!(without(&no_end, "a").unwrap(), format!("[b]\n{}# the end\n", hash(2)));
        // A broker that runs would go on as before if nobody were left.
        let none = without(&format!("[a]\n{}# the end", hash(1)), "a").unwrap();
        assert_eq!(none, format!("# the end\n{NOBODY}"));
        assert_eq!(without(&none, "nobody").unwrap(), format!("# the end\n{NOBODY}"));
        assert_eq!(with(&none, "b", &format!("[b]\n{}", hash(2))).unwrap(), format!("# the end\n\n[b]\n{}", hash(2)));
        assert!(with(HEAD, "a", &format!("[a]\n{}", hash(1))).unwrap().starts_with(HEAD));
        assert_eq!(with("# no end", "a", &format!("[a]\n{}", hash(1))).unwrap(), format!("# no end\n\n[a]\n{}", hash(1)));
    }

    #[test]
    fn what_cannot_be_changed_is_left_alone() {
        for (outcome, part) in [
            (without("", "a"), "there is no \"a\""),
            (with(&format!("[a]\n{}", hash(1)), "a", "[a]\n"), "there is a \"a\" already"),
            (with(&format!("[a]\n{}", hash(1)), "b", &format!("[b]\n{}", hash(1))), "the same proof"),
            (without(&format!("a.{}", hash(1)), "a"), "by hand"),
            (without(&format!("[\"a\"]\n{}", hash(1)), "a"), "by hand"),
            (without(&format!("[b]\ncertificate = '''\n[a]\n'''\n[a]\n{}", hash(1)), "a"), "by hand"),
            (with("[a", "b", ""), "line 1"),
        ] {
            let why = outcome.unwrap_err();
            assert!(why.contains(part), "{part:?} is not in: {why}");
        }
    }
}
