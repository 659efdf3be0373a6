//! A file that holds a client's token: one line, which others may not read.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::client::Token;

/// A longer file holds no token. White space around it is not part of it.
const LONGEST: u64 = 1024;

/// What others than the owner and the group may do with a file: read it, or write to it.
const OTHERS: u32 = 0o006;

/// Reads the token. The error says what to repair, and nothing of what stands in the file.
pub(super) fn read(path: &Path) -> Result<Token, String> {
    let name = path.display();
    let failed = |error: std::io::Error| format!("cannot read the token in {name}: {error}");
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    // A pipe, as <(...) in a shell makes one, belongs to who reads it.
    if about.is_file() && about.mode() & OTHERS != 0 {
        return Err(format!(
            "every user of this machine can use the token in {name}: chmod 600 {name}, and have the token replaced if others may have read it"
        ));
    }
    let mut text = String::new();
    file.take(LONGEST + 1).read_to_string(&mut text).map_err(failed)?;
    Token::new(text.trim()).map_err(|error| format!("the token in {name} cannot be used: {error}"))
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
