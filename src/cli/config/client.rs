//! The configuration of clients: a file of the user, and one of the system.
//!
//! Few programs need more than this to read it: lines of `key = "value"`, comments behind `#`, blank lines. Every such file is TOML.
//! docs/operations.md describes it.

use std::env;
use std::fs;
use std::io;
use std::path::PathBuf;

use crate::cli::token_file::{NOT_UTF8, utf8};
use crate::wire::showable;
use strsim::damerau_levenshtein;

/// What clients share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ClientConfig {
    /// Where the broker is, and where that stands, for messages.
    pub(crate) server: Option<(String, String)>,
    /// The file that holds the token, and where that stands.
    pub(crate) token_file: Option<(String, String)>,
    /// With TLS, the file of the authorities that are trusted, ...
    pub(crate) ca: Option<(String, String)>,
    /// ... and those of the client's own certificate ...
    pub(crate) certificate: Option<(String, String)>,
    /// ... and its key.
    pub(crate) key: Option<(String, String)>,
}

/// The keys that there are.
const KEYS: [&str; 5] = ["server", "token_file", "ca", "certificate", "key"];

impl ClientConfig {
    /// Reads the files where the system has them. What the user's says counts more. The error says what to repair, and where.
    pub(crate) fn load() -> Result<Self, String> {
        let mut config = Self::default();
        for path in paths() {
            let name = path.display().to_string();
            match fs::metadata(&path).and_then(|about| {
                // A pipe would be waited for.
                let is_other = !about.is_file() && !about.is_dir();
                if is_other { Ok(Err(())) } else { fs::read(&path).map(Ok) }
            }) {
                Ok(Ok(bytes)) => {
                    let text = utf8(&bytes).ok_or_else(|| format!("cannot read {name}: {NOT_UTF8}"))?;
                    config = config.or(Self::read(&name, text)?);
                }
                Ok(Err(())) => return Err(format!("{name} is a named pipe, a device or a socket, and not a file; write a file there")),
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => return Err(format!("cannot read {name}: {error}")),
            }
        }
        Ok(config)
    }

    /// Reads one file.
    fn read(name: &str, text: &str) -> Result<Self, String> {
        let mut config = Self::default();
        for (number, line) in text.lines().enumerate() {
            let place = format!("{name}, line {}", number + 1);
            let Some((key, value)) = entry(line).map_err(|why| format!("{place}: {why}"))? else { continue };
            let setting = match key {
                "server" => &mut config.server,
                "token_file" => &mut config.token_file,
                "ca" => &mut config.ca,
                "certificate" => &mut config.certificate,
                "key" => &mut config.key,
                _ => {
                    return Err(format!("{place}: unknown key {:?}; did you mean {:?}?", showable(key), nearest(key)));
                }
            };
            if key != "server" && !value.is_empty() && !value.starts_with('/') {
                // The value is not shown: somebody may have written the token itself.
                return Err(format!(
                    "{place}: {key:?} is not an absolute path, and no directory is known from which it could go on; write the whole path, such as \"/home/me/{key}\" (~ and variables mean nothing here)"
                ));
            }
            if setting.replace((value.to_owned(), place.clone())).is_some() {
                return Err(format!("{place}: {key:?} is given twice; remove one"));
            }
        }
        Ok(config)
    }

    /// This, and what the other has besides.
    fn or(self, other: Self) -> Self {
        Self {
            server: self.server.or(other.server),
            token_file: self.token_file.or(other.token_file),
            ca: self.ca.or(other.ca),
            certificate: self.certificate.or(other.certificate),
            key: self.key.or(other.key),
        }
    }
}

/// The key that was meant: one that goes on as it begins, or one with the fewest other letters.
fn nearest(key: &str) -> &'static str {
    let alike = KEYS.into_iter().find(|known| key.len() > 2 && known.starts_with(key));
    alike.or_else(|| KEYS.into_iter().min_by_key(|known| damerau_levenshtein(known, key))).unwrap_or_default()
}

/// The files, the one that counts most first.
fn paths() -> impl Iterator<Item = PathBuf> {
    // As the XDG Base Directory Specification has it: a path that is not absolute is as good as none.
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    user.into_iter().chain([PathBuf::from("/etc")]).map(|folder| folder.join("msgstream/client.toml"))
}

/// The key and the value in a line; none in a blank one or a comment.
fn entry(line: &str) -> Result<Option<(&str, &str)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let example = "write a line such as server = \"broker.example:7342\"";
    if line.starts_with('[') {
        return Err(format!("there are no sections here; {example}"));
    }
    let (key, value) = line.split_once('=').ok_or_else(|| format!("this is not a setting; {example}"))?;
    let value = value.trim();
    let quote = value.chars().next().filter(|first| ['"', '\''].contains(first));
    let quote = quote.ok_or_else(|| format!("the value is not in quotes; {example}"))?;
    let (value, rest) = value[1..].split_once(quote).ok_or_else(|| format!("the closing quote is missing; {example}"))?;
    if quote == '"' && value.contains('\\') {
        return Err("a backslash means something else between these quotes; write the value in single quotes".to_owned());
    }
    let rest = rest.trim();
    if !rest.is_empty() && !rest.starts_with('#') {
        return Err(format!("unexpected {:?} after the value; put \"#\" before a comment", showable(rest)));
    }
    Ok(Some((key.trim(), value)))
}

#[cfg(test)]
mod tests {
    use super::ClientConfig;

    fn server(text: &str) -> Result<Option<String>, String> {
        ClientConfig::read("client.toml", text).map(|config| config.server.map(|(server, _)| server))
    }

    #[test]
    fn a_file_is_read_as_toml_reads_it() {
        for (text, value) in [
            ("", None),
            ("# only a comment\n\n", None),
            ("server = \"localhost\"", Some("localhost")),
            ("  server='unix:/run/a b'  # ours\r\n", Some("unix:/run/a b")),
            ("server = \"\"", Some("")),
        ] {
            assert_eq!(server(text).unwrap().as_deref(), value, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_the_cure() {
        for (text, part) in [
            ("\nsever = \"x\"", "client.toml, line 2: unknown key \"sever\"; did you mean \"server\"?"),
            ("[client]", "line 1: there are no sections here"),
            ("server", "this is not a setting; write a line such as server = "),
            ("server = localhost", "the value is not in quotes"),
            ("server = \"localhost", "the closing quote is missing"),
            ("server = \"a\\\\b\"", "in single quotes"),
            ("server = \"a\" b", "unexpected \"b\" after the value"),
            ("server = \"a\"\nserver = \"b\"", "line 2: \"server\" is given twice"),
            (
                "ca = 'ca.pem'",
                "line 1: \"ca\" is not an absolute path, and no directory is known from which it could go on; write the whole path",
            ),
            ("\ncertificate = './me.pem'", "line 2: \"certificate\" is not an absolute path"),
            ("key = '~/me-key.pem'", "\"key\" is not an absolute path"),
            ("token_file = 'token'", "such as \"/home/me/token_file\" (~ and variables mean nothing here)"),
        ] {
            let error = server(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_token_in_place_of_its_file_is_not_repeated() {
        let error = ClientConfig::read("client.toml", "token_file = 'mst_0123'").unwrap_err();
        assert!(error.contains("absolute path") && !error.contains("0123"), "{error}");
    }

    #[test]
    fn every_key_is_known() {
        let text: String = super::KEYS.iter().map(|key| format!("{key} = '/{key}'\n")).collect();
        let ClientConfig { server, token_file, ca, certificate, key } = ClientConfig::read("client.toml", &text).unwrap();
        let all = [server, token_file, ca, certificate, key].map(|setting| setting.unwrap().0);
        assert_eq!(all, super::KEYS.map(|key| format!("/{key}")));
    }

    #[test]
    fn the_users_file_counts_more() {
        let read = |text: &str| ClientConfig::read("client.toml", text).unwrap();
        let both = read("server = 'mine'").or(read("server = 'theirs'"));
        assert_eq!(both.server.unwrap().0, "mine");
        assert_eq!(read("").or(read("server = 'theirs'")).server.unwrap().0, "theirs");
    }
}
