//! What was wrong with a line, in words that help the author of the client. Slow, and used only after a mistake.

use super::super::members::MOST_UNKNOWN;
use super::super::reason::{ECHO, cut};
use super::fault::{Broken, Fault, Wanted};
use super::token::{byte, skip_space};

const ONE_LINE: &str = "a whole object must stand on one line, ended by LF (no pretty-printing)";

/// What kind of value a valid text is, with its article.
pub(super) fn kind(text: &[u8]) -> &'static str {
    match text.first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't') => "true",
        Some(b'f') => "false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Why a line is not one JSON object with each key once.
pub(super) fn broken(line: &[u8], broken: &Broken) -> String {
    match broken {
        Broken::Twice(at, key) => format!("column {}: the key \"{}\" is given twice: once is right", column(line, *at), cut(key)),
        Broken::Many(at) => {
            let column = column(line, *at);
            format!(
                "column {column}: more than {MOST_UNKNOWN} keys that the protocol does not know: what a message says belongs into \"message\""
            )
        }
        Broken::Fault(fault) => {
            // A byte order mark or a wrong encoding is the cause, whatever fault in the grammar follows from it.
            beginning(line).unwrap_or_else(|| format!("column {}: {}", column(line, fault.at), what(line, *fault)))
        }
    }
}

/// The column of an offset as an editor shows it: characters, from 1.
fn column(line: &[u8], at: usize) -> usize {
    1 + line.iter().take(at).filter(|byte| **byte & 0xc0 != 0x80).count()
}

fn beginning(line: &[u8]) -> Option<String> {
    if line.starts_with(b"\xef\xbb\xbf") {
        return Some("column 1: a byte order mark (U+FEFF): send UTF-8 without one (Python: \"utf-8\", not \"utf-8-sig\")".into());
    }
    if line.get(..2) == Some(b"{\0") || line.get(..2) == Some(b"\0{") {
        return Some("column 1: a NUL byte beside the brace: this looks like UTF-16; encode the lines as UTF-8".into());
    }
    None
}

fn what(line: &[u8], fault: Fault) -> String {
    let Fault { at, wanted } = fault;
    let ended = skip_space(line, at) == line.len();
    if wanted == Wanted::Utf8 {
        let found = byte(line, at);
        return format!("the byte 0x{found:02x} is not UTF-8 here: encode the lines as UTF-8 (is it Latin-1?)");
    }
    if ended && !matches!(wanted, Wanted::Character | Wanted::End) {
        return format!("the line ends where {} should follow: {ONE_LINE}", name(wanted));
    }
    if let Some(text) = stranger(line, at, wanted) {
        return text;
    }
    let found = found(line, at);
    match wanted {
        Wanted::Object => format!("a line must be one JSON object, {{\"action\":...}}, but this begins with {found}"),
        Wanted::Character if ended || at >= line.len() => {
            format!("the line ends inside a string: its closing quote is missing, and {ONE_LINE}")
        }
        Wanted::Character => {
            format!("{found} stands raw in a string: escape it, as JSON writers do (\\n for a line end, \\t for a tab, \\u0000)")
        }
        Wanted::Escape => {
            format!(
                "a backslash is followed by {found}: JSON knows \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u with four hex digits; write \\\\ for a backslash itself"
            )
        }
        Wanted::Digit => format!("{found} where a digit of a number should be: JSON numbers look like -1, 0.5 or 1e-9"),
        Wanted::NoDigit => "a number with a leading zero: write 7, not 07 (or a string, \"007\")".into(),
        Wanted::End => format!("{found} after the object: send one object per line, each ended by LF"),
        Wanted::Key | Wanted::KeyOrEnd | Wanted::Value | Wanted::Colon | Wanted::CommaOrBrace | Wanted::CommaOrBracket | Wanted::Utf8 => {
            format!("{found} where {} should be", name(wanted))
        }
    }
}

fn name(wanted: Wanted) -> &'static str {
    match wanted {
        Wanted::Object => "an object",
        Wanted::Value => "a value",
        Wanted::KeyOrEnd => "a key in double quotes or }",
        Wanted::Key => "a key in double quotes",
        Wanted::Colon => "a colon",
        Wanted::CommaOrBrace => "a comma or }",
        Wanted::CommaOrBracket => "a comma or ]",
        Wanted::Character => "a character",
        Wanted::Escape => "the rest of an escape",
        Wanted::Utf8 => "UTF-8",
        Wanted::Digit => "a digit",
        Wanted::NoDigit => "no further digit",
        Wanted::End => "the end of the line",
    }
}

/// The character at an offset, in a form that can be seen.
fn found(line: &[u8], at: usize) -> String {
    match byte(line, at) {
        _ if at >= line.len() => "the end of the line".into(),
        0 => "a NUL byte".into(),
        b'\n' => "the end of the line".into(),
        b'\t' => "a tab".into(),
        b'\r' => "a carriage return".into(),
        control if control < 0x20 || control == 0x7f => format!("the control character 0x{control:02x}"),
        _ => {
            let rest = line.get(at..).unwrap_or_default();
            let first = String::from_utf8_lossy(rest.get(..4).unwrap_or(rest)).chars().next().unwrap_or('?');
            match first {
                char::REPLACEMENT_CHARACTER => format!("the byte 0x{:02x}, which is not UTF-8,", byte(line, at)),
                first if first.is_ascii() => format!("'{first}'"),
                first => format!("'{}' (U+{:04X})", first.escape_debug(), u32::from(first)),
            }
        }
    }
}

/// Things that other languages allow and JSON does not.
fn stranger(line: &[u8], at: usize, wanted: Wanted) -> Option<String> {
    // A sign belongs to the word that follows it, as in -Infinity.
    let start = if wanted == Wanted::Digit && at > 0 && byte(line, at - 1) == b'-' { at - 1 } else { at };
    let rest = line.get(start..).unwrap_or_default();
    let sign = usize::from(matches!(rest.first(), Some(b'-' | b'+')));
    let letters = rest.get(sign..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    let word = String::from_utf8_lossy(rest.get(..(sign + letters).min(ECHO)).unwrap_or_default()).into_owned();
    let shown = cut(rest.get(..sign + letters).unwrap_or_default());
    let next = byte(line, at);

    if matches!(wanted, Wanted::Value | Wanted::Digit) && letters > 0 {
        let bare = word.trim_start_matches(['-', '+']);
        match bare {
            "NaN" | "Infinity" | "nan" | "inf" | "Inf" | "NAN" | "infinity" => {
                return Some(format!(
                    "{shown} is not JSON: send null or a string instead (Python: json.dumps(..., allow_nan=False) finds where it comes from)"
                ));
            }
            "True" | "False" | "None" => {
                let right = if bare == "None" { "null".to_owned() } else { bare.to_lowercase() };
                return Some(format!("{bare} is Python, not JSON: write {right} (send json.dumps(x), not str(x) or repr(x))"));
            }
            "undefined" => return Some("undefined is not JSON: send null (JavaScript: JSON.stringify)".into()),
            _ if bare.starts_with(|first: char| first.is_ascii_alphabetic()) && wanted == Wanted::Value => {
                return Some(format!(
                    "\"{shown}\" is no JSON value: strings need double quotes, and the only words are true, false and null"
                ));
            }
            _ => {}
        }
    }
    match (next, wanted) {
        (b'\'', Wanted::Value | Wanted::Key | Wanted::KeyOrEnd) => {
            Some("a single quote: JSON strings and keys need double quotes (Python: send json.dumps(x), not str(x) or repr(x))".into())
        }
        (b'}' | b']', Wanted::Value | Wanted::Key) if after_comma(line, at) => {
            Some(format!("'{}' after a comma: JSON allows no trailing comma", char::from(next)))
        }
        (b'/' | b'#', Wanted::Value | Wanted::Key | Wanted::KeyOrEnd | Wanted::CommaOrBrace | Wanted::CommaOrBracket | Wanted::End) => {
            Some(format!("'{}': JSON has no comments", char::from(next)))
        }
        (b'+' | b'.', Wanted::Value) => {
            Some(format!("'{}' cannot begin a number: JSON numbers look like -1, 0.5 or 1e-9", char::from(next)))
        }
        (_, Wanted::Key | Wanted::KeyOrEnd) if letters > 0 && sign == 0 => {
            Some(format!("the key {shown} needs double quotes: \"{shown}\""))
        }
        _ => None,
    }
}

/// Whether a comma comes before an offset, with nothing but white space between.
fn after_comma(line: &[u8], at: usize) -> bool {
    line.get(..at).unwrap_or_default().trim_ascii_end().last() == Some(&b',')
}
