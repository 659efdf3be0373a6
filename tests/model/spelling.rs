//! Steps and mistakes as lines of a client.

use super::prefixes::PREFIXES;
use super::{Step, name};

/// The limit on headers, in bytes.
pub(super) const LONGEST_HEADER: usize = 20;

/// Lines that are refused, and the error without its reason.
pub(super) const MISTAKES: [(&str, &str); 8] = [
    (r#"{"action":"ping",}"#, r#"{"action":"error","message":{"code":"bad_json"}}"#),
    (r#"{"message":NaN}"#, r#"{"action":"error","message":{"code":"bad_json"}}"#),
    (r#"{"stream":"s0","receipt":7,"action":"pit"}"#, r#"{"action":"error","message":{"code":"bad_action"},"stream":"s0","receipt":7}"#),
    (r#"{"action":"put","message":1}"#, r#"{"action":"error","message":{"code":"missing_stream"}}"#),
    (r#"{"action":"listen","stream":"","receipt":"r"}"#, r#"{"action":"error","message":{"code":"bad_stream"},"receipt":"r"}"#),
    (r#"{"action":"put","stream":"s1","header":1}"#, r#"{"action":"error","message":{"code":"missing_message"},"stream":"s1"}"#),
    (r#"{"action":"delete","stream":"$s","receipt":7}"#, r#"{"action":"error","message":{"code":"denied"},"stream":"$s","receipt":7}"#),
    // Longer than a header may be.
    (
        r#"{"action":"header","stream":"s2","message":"more than the twenty bytes that are allowed"}"#,
        r#"{"action":"error","message":{"code":"limit"},"stream":"s2"}"#,
    ),
];

/// A step as a line, in one of eight spellings that mean the same.
pub(super) fn line(step: &Step, spelling: u8) -> String {
    let (verb, stream, message, header, receipt) = match step {
        Step::Put { stream, text, header, receipt, .. } => ("put", Some(*stream), Some(*text), *header, receipt.then_some(7)),
        Step::Header { stream, text, receipt, .. } => ("header", Some(*stream), Some(*text), None, receipt.then_some(7)),
        Step::Listen { stream, receipt, .. } => ("listen", Some(*stream), None, None, receipt.then_some(7)),
        Step::ListenPrefix { receipt, .. } => ("listen", None, None, None, receipt.then_some(7)),
        Step::HangupPrefix { receipt, .. } => ("hangup", None, None, None, receipt.then_some(7)),
        Step::Hangup { stream, receipt, .. } => ("hangup", *stream, None, None, receipt.then_some(7)),
        Step::Close { stream, text, receipt, .. } => ("close", Some(*stream), Some(*text), None, receipt.then_some(7)),
        Step::Delete { stream, text, receipt, .. } => ("delete", Some(*stream), Some(*text), None, receipt.then_some(7)),
        Step::Will { stream, text, receipt, .. } => ("will", Some(*stream), *text, None, receipt.then_some(7)),
        Step::Ping { text, .. } => ("ping", None, None, None, Some(*text)),
        Step::Leave { .. } | Step::Deafen { .. } | Step::Reconnect { .. } | Step::Tick { .. } => return String::new(),
    };
    let stream = stream.map(|stream| match spelling {
        3 => format!("\"\\u0073{stream}\""),
        _ => format!("\"{}\"", name(stream)),
    });
    let prefix = match step {
        Step::ListenPrefix { prefix, .. } | Step::HangupPrefix { prefix, .. } => Some(format!("\"{}\"", PREFIXES[*prefix])),
        _ => None,
    };
    let mode = match step {
        Step::Listen { begin: Some(begin), .. } | Step::ListenPrefix { begin: Some(begin), .. } if begin.latest => Some("\"latest\""),
        _ => None,
    };
    let members = [
        ("action", Some(format!("\"{verb}\""))),
        ("stream", stream),
        ("prefix", prefix),
        ("message", message.map(|text| text.to_string())),
        ("header", header.map(|text| text.to_string())),
        ("mode", mode.map(str::to_owned)),
        ("receipt", receipt.map(|text| text.to_string())),
        ("x", (spelling == 5).then(|| "[1,{\"action\":null}]".to_owned())),
    ];
    let (colon, comma) = match spelling {
        1 | 4 => (": ", ", "),
        6 => (" :\t", " ,"),
        _ => (":", ","),
    };
    let mut members: Vec<String> = members.into_iter().filter_map(|(key, value)| Some(format!("\"{key}\"{colon}{}", value?))).collect();
    if spelling == 2 {
        members.reverse();
    }
    let end = if spelling == 4 { "\r\n" } else { "\n" };
    let before = if spelling == 6 { "\r\n " } else { "" };
    format!("{before}{{{}}}{end}", members.join(comma))
}
