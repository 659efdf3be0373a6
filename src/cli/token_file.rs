//! A file that holds a client's token: one line, which others may not read.

use std::fs::{self, File, FileType};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::client::{BadToken, Token};
use crate::wire::{holds_secret, showable};

/// A longer file holds no token. White space around it is not part of it.
const LONGEST: u64 = 1024;

/// What others than the owner and the group may do with a file: read it, or write to it.
const OTHERS: u32 = 0o006;

/// Where a process finds what it has open.
const OPENED: [&str; 3] = ["/dev/fd/", "/proc/self/fd/", "/dev/stdin"];

/// The cure of one who has given the token where its file is to be named.
const ITSELF: &str = "; a token itself is given in the variable MSGSTREAM_TOKEN";

/// Refuses what is no file: to read it might take for ever.
pub(super) fn check_kind(path: &Path, kind: FileType) -> Result<(), String> {
    let is_other = kind.is_fifo() || kind.is_char_device() || kind.is_block_device() || kind.is_socket();
    let name = path.to_string_lossy();
    let fault =
        || format!("{} is a named pipe, a device or a socket, and not a file; name a file with what is to be read in it", showable(&name));
    if is_other { Err(fault()) } else { Ok(()) }
}

/// The token in a text, with or without white space around it.
pub(super) fn token_in(text: &str) -> Result<Token, BadToken> {
    let text = text.trim();
    // Quotes belong to the place that it was copied from, and would count as a guess.
    if text.contains(['"', '\'']) { Err(BadToken) } else { Token::new(text) }
}

/// Reads the token. The error says what to repair, and nothing of what stands in the file.
pub(super) fn read(path: &Path) -> Result<Token, String> {
    let name = path.to_string_lossy();
    let cure = if holds_secret(&name) { ITSELF } else { "" };
    let name = showable(&name);
    let failed = |error: std::io::Error| format!("cannot read the token in {name}: {error}{cure}");
    // A pipe that is open already, as <(...) in a shell makes one, belongs to who reads it, and comes to its end.
    if !OPENED.iter().any(|opened| path.as_os_str().as_encoded_bytes().starts_with(opened.as_bytes())) {
        check_kind(path, fs::metadata(path).map_err(failed)?.file_type())?;
    }
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if about.is_file() && about.mode() & OTHERS != 0 {
        return Err(format!(
            "every user of this machine can use the token in {name}: chmod 600 {name}, and have the token replaced if others may have read it"
        ));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    let text = utf8(&bytes).ok_or_else(|| format!("the token in {name} cannot be used: {NOT_UTF8}"))?;
    token_in(text).map_err(|error| format!("the token in {name} cannot be used: {error}; it stands there without quotes, and alone"))
}

/// What is wrong with a file in another encoding, and the cure.
pub(super) const NOT_UTF8: &str = "it is not UTF-8; save it as UTF-8";

/// The text of a file, without the mark that editors of other systems put before it. None if it is not UTF-8.
pub(super) fn utf8(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(text.strip_prefix('\u{feff}').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_that_others_can_read_is_refused_with_the_cure() {
        let path = std::env::temp_dir().join(format!("msgstream-token-{}", std::process::id()));
        let read_with = |mode, text: &str| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            read(&path)
        };
        assert_eq!(read_with(0o600, " mst_secret\n"), Ok(Token::new("mst_secret").unwrap()));
        assert!(read_with(0o640, "mst_secret").is_ok(), "the group may be one's own");
        for (mode, text, part) in [
            (0o644, "mst_secret", "chmod 600"),
            (0o602, "mst_secret", "chmod 600"),
            (0o600, "", "cannot be used"),
            (0o600, "mst_secret and more", "cannot be used"),
            (0o600, &"mst_secret".repeat(200), "cannot be used"),
        ] {
            let told = read_with(mode, text).unwrap_err();
            assert!(told.contains(part) && told.contains("msgstream-token-") && !told.contains("secret"), "{told}");
        }
        fs::remove_file(&path).unwrap();
        assert!(read(&path).unwrap_err().contains("No such file"));
    }
}
