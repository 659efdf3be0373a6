//! Turns lines that the encoder wrote back into events, for listeners of another encoding.

use std::borrow::Cow;

use super::super::event::Event;
use super::form::{CLOSE_HEAD, MESSAGE, PUT_HEAD};
use super::text::text_of;
use super::token::string;
use crate::wire::ids::StreamName;

/// Calls `each` with every event.
pub(super) fn read_back(mut lines: &[u8], each: &mut dyn FnMut(&Event<'_>)) {
    let mut stream: Option<StreamName> = None;
    while let Some(end) = memchr::memchr(b'\n', lines) {
        let (line, rest) = lines.split_at(end + 1);
        lines = rest;
        let parsed = parse(line);
        debug_assert!(parsed.is_some(), "a line of another form: {}", String::from_utf8_lossy(line));
        let Some(Parsed { put, name, message }) = parsed else { continue };
        // The messages of a run are all of one stream.
        if stream.as_ref().is_none_or(|stream| stream.as_str() != name) {
            stream = StreamName::new(&name).ok();
        }
        let Some(stream) = &stream else { continue };
        match (put, message) {
            (true, message) => each(&Event::Put { stream, message: message.unwrap_or(b"null") }),
            (false, message) => each(&Event::Close { stream, message }),
        }
    }
}

struct Parsed<'a> {
    /// Whether it is a message, and not the end of a stream.
    put: bool,
    name: Cow<'a, str>,
    message: Option<&'a [u8]>,
}

fn parse(line: &[u8]) -> Option<Parsed<'_>> {
    let line = line.strip_suffix(b"}\n")?;
    let put = line.starts_with(PUT_HEAD);
    let head = if put { PUT_HEAD } else { CLOSE_HEAD };
    let rest = line.strip_prefix(head)?;
    let end = string(rest, 0).ok()?;
    // The opening quote belongs to the head.
    let name = text_of(line.get(head.len() - 1..head.len() + end)?)?;
    let rest = rest.get(end..)?;
    let message = if rest.is_empty() { None } else { Some(rest.strip_prefix(MESSAGE)?) };
    Some(Parsed { put, name, message })
}
