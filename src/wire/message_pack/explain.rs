//! What was wrong with a unit, in words that help the author of the client. Slow, and used only after a mistake.

use super::super::members::MOST_UNKNOWN;
use super::super::reason::cut;
use super::fault::{Broken, Fault, What};

/// Why a unit is not one map with each key once. Offsets count from 0 behind the unit's length.
pub(super) fn broken(broken: &Broken) -> String {
    match broken {
        Broken::Cut => "the connection ended within a message".into(),
        Broken::NotMap(kind) => format!("a message must be one map, with the key \"action\", not {kind}"),
        Broken::KeyKind(at, kind) => format!("offset {at}: a key that is {kind}: the keys of a message are strings"),
        Broken::Twice(at, key) => format!("offset {at}: the key \"{}\" is given twice: once is right", cut(key)),
        Broken::Many(at) => {
            format!(
                "offset {at}: more than {MOST_UNKNOWN} keys that the protocol does not know: what a message says belongs into \"message\""
            )
        }
        Broken::After(at) => {
            format!("offset {at}: more bytes after the map: each map needs its own length, in four bytes with the highest first, before it")
        }
        Broken::Fault(Fault { at, what }) => format!("offset {at}: {}", what_is_wrong(*what)),
    }
}

fn what_is_wrong(what: What) -> &'static str {
    match what {
        What::TooShort => "a value goes on beyond the end of the message: the length before the message, or one within it, is wrong",
        What::Reserved => "the byte 0xc1, which stands for nothing in MessagePack",
        What::Utf8 => {
            "a string that is not UTF-8: send bytes as the type for them, bin (Python: msgpack.packb(..., use_bin_type=True), the default)"
        }
        What::Key => "a key of a map that is neither a string nor an integer, which no JSON can hold: use strings",
    }
}
