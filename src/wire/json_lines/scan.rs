//! The validator: whether bytes are one JSON value (RFC 8259) and where it ends. It stores nothing and converts nothing.
//!
//! It accepts what `serde_json` accepts when it skips a value: numbers of any size and `\u` escapes of lone surrogates
//! are within the grammar. It goes to any depth without recursion, at one bit a level.

use super::fault::{Fault, Wanted};
use super::numbers::skip_numbers;
use super::open::Open;
use super::token::{byte, literal, number, skip_space, string};

/// The length from which on it pays to enter and leave [`skip_numbers`].
const LONG: usize = 128;
/// After a run that was not that long, none is tried for so many bytes: many short ones would cost time.
const PAUSE: usize = 1024;

/// The end of the value that begins at `start`, where no white space may stand.
pub(in crate::wire) fn value(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let mut open = Open::default();
    let mut at = start;
    // Where the next run of numbers may be tried; never in a short text.
    let mut try_from = if bytes.len().saturating_sub(start) < LONG { usize::MAX } else { start };
    loop {
        // A value begins here.
        match byte(bytes, at) {
            b'"' => at = string(bytes, at + 1)?,
            b'-' | b'0'..=b'9' => at = number(bytes, at)?,
            b'{' => {
                at = skip_space(bytes, at + 1);
                match byte(bytes, at) {
                    b'"' => {
                        open.push(true);
                        at = key(bytes, at + 1)?;
                        continue;
                    }
                    b'}' => at += 1,
                    _ => return Err(Wanted::KeyOrEnd.at(at)),
                }
            }
            b'[' => {
                at = skip_space(bytes, at + 1);
                if byte(bytes, at) == b']' {
                    at += 1;
                } else {
                    open.push(false);
                    continue;
                }
            }
            b't' => at = literal(bytes, at, b"true")?,
            b'f' => at = literal(bytes, at, b"false")?,
            b'n' => at = literal(bytes, at, b"null")?,
            _ => return Err(Wanted::Value.at(at)),
        }
        // A value has ended here, and perhaps the containers around it.
        loop {
            if open.is_empty() {
                return Ok(at);
            }
            at = skip_space(bytes, at);
            let object = open.in_object();
            match byte(bytes, at) {
                b',' if object => {
                    at = skip_space(bytes, at + 1);
                    if byte(bytes, at) != b'"' {
                        return Err(Wanted::Key.at(at));
                    }
                    at = key(bytes, at + 1)?;
                    break;
                }
                b',' => {
                    at = skip_space(bytes, at + 1);
                    if at >= try_from {
                        let reached = skip_numbers(bytes, at, open.in_array_of_array());
                        if reached < at + LONG {
                            try_from = at + PAUSE;
                        }
                        at = skip_space(bytes, reached);
                    }
                    break;
                }
                b'}' if object => at += 1,
                b']' if !object => at += 1,
                _ if object => return Err(Wanted::CommaOrBrace.at(at)),
                _ => return Err(Wanted::CommaOrBracket.at(at)),
            }
            open.pop();
        }
    }
}

/// From after the opening quote of a key to where its value begins.
#[inline(always)]
fn key(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let at = skip_space(bytes, string(bytes, start)?);
    if byte(bytes, at) != b':' {
        return Err(Wanted::Colon.at(at));
    }
    Ok(skip_space(bytes, at + 1))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any, prop_oneof, proptest};
    use proptest::sample::select;
    use serde_json::value::RawValue;

    use super::super::fault::{Fault, Wanted};
    use super::value;

    /// Whether the bytes are one value and nothing else, to us and to `serde_json`.
    fn both(bytes: &[u8]) -> (bool, bool) {
        let spaced = matches!(bytes, [b' ' | b'\t' | b'\r' | b'\n', ..] | [.., b' ' | b'\t' | b'\r' | b'\n']);
        (value(bytes, 0) == Ok(bytes.len()), !spaced && serde_json::from_slice::<&RawValue>(bytes).is_ok())
    }

    /// Bytes that often make JSON, or nearly.
    fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
        let pieces = [
            "[",
            "]",
            "{",
            "}",
            ",",
            ":",
            "\"",
            "\"a\":",
            "\"b\"",
            "0",
            "1",
            "-",
            ".5",
            "e+7",
            "E",
            "12345678901",
            "true",
            "null",
            "fals",
            " ",
            "\\u00e9",
            "\\",
            "\\n",
            "é",
            "日本",
            "a longer piece of text, of more than a word",
            "\t",
        ];
        vec(prop_oneof![9 => select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()), 1 => vec(any::<u8>(), 1..3)], 0..8)
            .prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn random_bytes_are_judged_as_serde_json_does(bytes in prop_oneof![vec(any::<u8>(), 0..12), nearly_json()]) {
            let (ours, theirs) = both(&bytes);
            assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(&bytes));
        }

        /// Strings of every length about the widths of words and blocks, with one byte of any kind at any place.
        #[test]
        fn long_strings_are_judged_as_serde_json_does(length in 0..300_usize, place in 0..300_usize, byte in any::<u8>()) {
            let mut text = vec![b'a'; length + 2];
            text[place % (length + 2)] = byte;
            text[0] = b'"';
            text[length + 1] = b'"';
            let (ours, theirs) = both(&text);
            assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn what_serde_json_skips_is_accepted_and_no_more() {
        let accepted = [
            "1e400",
            "18446744073709551617",
            "-0",
            "-0.0e-0",
            "\"\\ud800\"",
            "\"\\udc00\\ud800\"",
            "\"\u{7f}\"",
            "{\"a\":1,\"a\":1}",
            "[ ]",
            "{ }",
        ];
        let refused = [
            "",
            "+1",
            "01",
            "-",
            "1.",
            ".1",
            "1e",
            "1e+",
            "\"\n\"",
            "\"",
            "\"\\u12\"",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{1:2}",
            "nul",
            "nulll",
            "NaN",
            "[1}",
            "1 2",
        ];
        for (texts, expected) in [(&accepted[..], true), (&refused[..], false)] {
            for text in texts {
                assert_eq!(both(text.as_bytes()), (expected, expected), "{text}");
            }
        }
    }

    #[test]
    fn nesting_is_remembered_at_every_depth() {
        for depth in [1, 2, 63, 64, 65, 127, 128, 129, 1000, 1_000_000] {
            // Objects and arrays in turn, so that a lost bit shows.
            let open: String = (0..depth).map(|level| if level % 3 == 0 { "{\"a\":" } else { "[" }).collect();
            let close: String = (0..depth).rev().map(|level| if level % 3 == 0 { '}' } else { ']' }).collect();
            let text = format!("{open}1{close}");
            assert_eq!(value(text.as_bytes(), 0), Ok(text.len()), "{depth}");
            let (outer, last) = text.split_at(text.len() - 1);
            assert_eq!(value(outer.as_bytes(), 0), Err(Fault { at: outer.len(), wanted: Wanted::CommaOrBrace }), "{depth} {last}");
            let crossed = format!("{outer}]");
            assert!(value(crossed.as_bytes(), 0).is_err(), "{depth}");
        }
    }
}
