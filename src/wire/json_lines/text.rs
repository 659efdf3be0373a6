//! The text of JSON strings.

use std::borrow::Cow;

/// What stands between the quotes of a JSON string.
pub(super) fn inner(text: &[u8]) -> &[u8] {
    text.get(1..text.len().saturating_sub(1)).unwrap_or_default()
}

/// The text of a JSON string, its escapes decoded; none if it holds half a surrogate pair.
pub(super) fn text_of(text: &[u8]) -> Option<Cow<'_, str>> {
    if memchr::memchr(b'\\', text).is_none() {
        return std::str::from_utf8(inner(text)).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice(text).ok().map(Cow::Owned)
}
