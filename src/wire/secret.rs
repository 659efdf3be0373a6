//! The token that a client shows to be let in.

#[cfg(feature = "nodes")]
use std::borrow::Cow;
use std::fmt;

/// How the tokens begin that the broker's program makes, so that one that is found somewhere can be recognised.
pub const TOKEN_START: &str = "mst_";

/// How keys and certificates in PEM begin.
const PEM_START: &str = "-----BEGIN";

/// What is said in the place of a text that is not to be shown.
const NOT_SHOWN: &str = "(not shown: where a file is to be named, or something else, there is a token or a key)";

/// Whether there is a secret in the text, pasted where it does not belong: whoever repeats the text would give it away.
pub(crate) fn holds_secret(text: &str) -> bool {
    text.contains(TOKEN_START) || text.contains(PEM_START)
}

/// A text of somebody else's as an error or a log may repeat it: itself, if no secret is in it.
pub(crate) fn showable(text: &str) -> &str {
    if holds_secret(text) { NOT_SHOWN } else { text }
}

/// A text of somebody else's without the passwords that stand in addresses, as in `nats://NAME:PASSWORD@HOST`.
#[cfg(feature = "nodes")]
pub(crate) fn without_passwords(text: &str) -> Cow<'_, str> {
    if !text.contains("//") || !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let hidden = |word: &str| {
        let (start, rest) = word.split_at(word.find("//").map_or(0, |at| at + 2));
        match rest.rsplit_once('@') {
            Some((_, host)) if !start.is_empty() => format!("{start}...@{host}"),
            _ => word.to_owned(),
        }
    };
    Cow::Owned(text.split_inclusive(char::is_whitespace).map(hidden).collect())
}

/// A client's token: who knows it has its rights. It is never shown: its `Debug` is empty, and no error repeats it.
///
/// ```
/// # use msgstream::client::Token;
/// let token = Token::new("mst_0123456789abcdef0123456789abcdef")?;
/// assert_eq!(format!("{token:?}"), "Token(..)");
/// # Ok::<(), msgstream::client::BadToken>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

/// A text that is no token. It does not repeat the text, which may be most of a token.
///
/// ```
/// # use msgstream::client::{BadToken, Token};
/// assert_eq!(Token::new("two words"), Err(BadToken));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token is one word of 1 to {} letters, digits and signs, such as mst_ and what follows it", Token::LONGEST)]
pub struct BadToken;

impl Token {
    /// The longest token, in bytes.
    ///
    /// ```
    /// # use msgstream::client::Token;
    /// assert!(Token::new(&"x".repeat(Token::LONGEST)).is_ok());
    /// assert!(Token::new(&"x".repeat(Token::LONGEST + 1)).is_err());
    /// ```
    pub const LONGEST: usize = 256;

    /// A token.
    ///
    /// # Errors
    /// [`BadToken`] if the text is empty, too long, or holds anything but visible ASCII.
    pub fn new(text: &str) -> Result<Self, BadToken> {
        let is_good = (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_good { Ok(Self(text.into())) } else { Err(BadToken) }
    }

    /// The text, to send or to compare, not to show.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::{BadToken, Token, showable};

    #[test]
    fn a_text_with_a_secret_is_not_shown() {
        for secret in ["mst_0123", "/etc/mst_0123", "-----BEGIN PRIVATE KEY-----\nAAAA"] {
            assert!(showable(secret).starts_with("(not shown: "), "{secret}");
        }
        assert_eq!(showable("/etc/msgstream/tokens.toml"), "/etc/msgstream/tokens.toml");
    }

    #[cfg(feature = "nodes")]
    #[test]
    fn passwords_in_addresses_are_left_out() {
        for (text, shown) in [
            ("nats://me:secret@h:4222", "nats://...@h:4222"),
            ("nats = [\"tls://secret@h\", \"nats://g\"] # me", "nats = [\"tls://...@h\", \"nats://g\"] # me"),
            ("nats://a:se@cret@h,nats://b:secret@g\nnats://c:secret@h\n", "nats://...@g\nnats://...@h\n"),
            ("https://lab.example.org", "https://lab.example.org"),
            ("me@lab.example.org", "me@lab.example.org"),
        ] {
            assert_eq!(super::without_passwords(text), shown);
        }
    }

    #[test]
    fn a_token_is_one_word_that_nothing_shows() {
        let token = Token::new("mst_secret").unwrap();
        assert_eq!((token.as_str(), format!("{token:?}")), ("mst_secret", "Token(..)".to_owned()));
        for bad in ["", " ", "a b", "a\n", "a\u{e9}", &"x".repeat(257)] {
            assert_eq!(Token::new(bad), Err(BadToken), "{bad:?}");
        }
        assert!(Token::new(&"x".repeat(256)).is_ok());
    }
}
