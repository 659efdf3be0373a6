//! Turns units that the encoder wrote back into events, for listeners of another encoding.

use super::super::event::Event;
use super::form::{CLOSE_HEAD, MESSAGE, PREFIX, PUT_HEAD};
use super::to_json;
use super::token::{Token, token};
use crate::wire::ids::StreamName;

/// Calls `each` with every event, its content as JSON text.
pub(super) fn read_back(mut units: &[u8], each: &mut dyn FnMut(&Event<'_>)) {
    let mut content = Vec::new();
    let mut stream: Option<StreamName> = None;
    while let Some((prefix, rest)) = units.split_first_chunk::<PREFIX>() {
        let (body, after) = rest.split_at_checked(u32::from_be_bytes(*prefix) as usize).unwrap_or((rest, &[]));
        units = after;
        let parsed = parse(body);
        debug_assert!(parsed.is_some(), "a unit of another form: {body:x?}");
        let Some(Parsed { put, name, message }) = parsed else { continue };
        // The messages of a run are all of one stream.
        if stream.as_ref().is_none_or(|stream| stream.as_str() != name) {
            stream = StreamName::new(name).ok();
        }
        let Some(stream) = &stream else { continue };
        content.clear();
        if let Some(message) = message {
            to_json::write(message, &mut content);
        }
        match (put, message) {
            (true, _) => each(&Event::Put { stream, message: &content }),
            (false, Some(_)) => each(&Event::Close { stream, message: Some(&content) }),
            (false, None) => each(&Event::Close { stream, message: None }),
        }
    }
}

struct Parsed<'a> {
    /// Whether it is a message, and not the end of a stream.
    put: bool,
    name: &'a str,
    message: Option<&'a [u8]>,
}

fn parse(body: &[u8]) -> Option<Parsed<'_>> {
    let (put, rest) = match body.strip_prefix(PUT_HEAD) {
        Some(rest) => (true, rest),
        None => (false, body.get(1..)?.strip_prefix(CLOSE_HEAD)?),
    };
    let (Token::Text(name), end) = token(rest, 0).ok()? else { return None };
    let rest = rest.get(end..)?;
    let message = if rest.is_empty() { None } else { Some(rest.strip_prefix(MESSAGE)?) };
    Some(Parsed { put, name: std::str::from_utf8(name).ok()?, message })
}
