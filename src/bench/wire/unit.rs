//! What a broker says, in whole units.

/// What a broker said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A message or a header, with that many bytes.
    Delivered(usize),
    /// The answer to a publication.
    Published,
    /// The answer to a ping.
    Pong,
    /// A ping that wants an answer.
    Ping,
    /// Anything that needs no answer and is no mistake.
    Noise,
    /// A refusal, or an end that nobody asked for.
    Failure(String),
}

/// The first line, without its end, and the length with it.
pub(super) fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr::memchr(b'\n', bytes)?;
    Some((bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]), end + 1))
}

/// Bytes for an error message: their beginning, as text.
pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned()
}
