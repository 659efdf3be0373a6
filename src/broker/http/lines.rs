//! Lines on the connection of a request: those that ask for something; and how those of the broker begin whose content may be long, as they
//! are known by that before they are whole.

use crate::wire::ids::StreamName;
use crate::wire::json_lines::ENCODER;
use crate::wire::{Encode, Event};

/// The streams of the directory begin so.
pub(super) const DIRECTORY: &str = "$streams/";

/// The line that asks to listen to a stream.
pub(super) fn listen(stream: &str, receipt: u64) -> String {
    format!("{{\"action\":\"listen\",\"stream\":{},\"receipt\":{receipt}}}", json(stream))
}

/// The line that asks how a stream stands, as its entry in the directory tells it. It does not count as a listener of the stream.
pub(super) fn listen_to_entry(stream: &str, receipt: u64) -> String {
    listen(&format!("{DIRECTORY}{stream}"), receipt)
}

/// The same, and a node that is behind answers only when it has read what others have told by then: of several nodes, each does so for whoever goes on
/// listening where it has not been. The directory passes over positions.
pub(super) fn listen_to_entry_abreast(stream: &str, receipt: u64) -> String {
    let mut line = listen_to_entry(stream, receipt);
    line.pop();
    line.push_str(r#","after":{"epoch":"none","sequence":0}}"#);
    line
}

/// A text as JSON, as the broker writes it.
pub(super) fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The line of a message or of a header, up to the content.
pub(super) fn put(stream: &StreamName) -> Box<[u8]> {
    begin(&Event::Put { stream, message: b"" }, "}\n")
}

/// The line of a stream's end, up to what may follow the name: [`MESSAGE`] and a content.
pub(super) fn close(stream: &StreamName) -> Box<[u8]> {
    begin(&Event::Close { stream, message: None }, "}\n")
}

/// What stands before the content of a stream's end.
pub(super) const MESSAGE: &[u8] = b",\"message\":";

fn begin(event: &Event<'_>, end: &str) -> Box<[u8]> {
    let mut line = Vec::new();
    ENCODER.encode(event, &mut line);
    line.truncate(line.len() - end.len());
    line.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_known_by_all_that_stands_before_its_content() {
        let stream = StreamName::new("a\"b").unwrap();
        assert_eq!(&*put(&stream), br#"{"action":"put","stream":"a\"b","message":"#);
        assert_eq!(&*close(&stream), br#"{"action":"close","stream":"a\"b""#);
        let mut line = Vec::new();
        ENCODER.encode(&Event::Close { stream: &stream, message: Some(b"1") }, &mut line);
        assert_eq!(line, [&*close(&stream), MESSAGE, b"1}\n"].concat());
    }
}
