//! Clients that speak something else: what they are, and what would be right.

use super::super::codec::Foreign;

/// What a connection that begins with these bytes speaks. Every message begins with its length, the highest byte first: unless
/// it is absurdly long, that is a zero or a small number. Text and other protocols begin with neither.
pub(super) fn recognise(start: &[u8]) -> Foreign {
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    let Some(first) = start.first_chunk::<4>() else {
        let clear = start.first().is_some_and(|byte| *byte == 0);
        return if clear { Foreign::Ours } else { Foreign::Unclear };
    };
    match first {
        [0x16, 0x03, 0..=4, _] => theirs("TLS", "connect without TLS, or to a port that is configured for it"),
        _ if first.iter().all(is_text) => text(first),
        // A map of a few keys, the first a short text: a message without its length.
        [0x80..=0x8f, 0xa0..=0xbf, ..] => theirs("MessagePack alone", "send the length of each message before it"),
        // No message is shorter than 13 bytes, and a length this large rarely ends in two zeros.
        [low, _, 0, 0] if *low >= 13 => {
            theirs("lengths with the lowest byte first", "send the highest byte first (Python: struct.pack(\">I\", len(message)))")
        }
        _ => Foreign::Ours,
    }
}

fn text(first: &[u8; 4]) -> Foreign {
    if first.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b' ') {
        return theirs("HTTP", "use a client that sends such messages over a plain TCP connection");
    }
    match first.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{' | b'[') => {
            theirs("JSON", "JSON lines are spoken on another address of this broker, one without msgpack+ (the setting listen)")
        }
        _ => theirs("text", "check the client's protocol and port"),
    }
}

fn theirs(what: &str, cure: &str) -> Foreign {
    Foreign::Theirs(format!(
        "this is an msgstream port that speaks MessagePack, each message after its length in four bytes with the highest first, not {what}: {cure}"
    ))
}

#[cfg(test)]
mod tests {
    use super::recognise;
    use crate::wire::Foreign;

    #[test]
    fn what_a_connection_begins_with() {
        let table: [(&[u8], &str); 22] = [
            (b"", "unclear"),
            (b"\x00", "ours"),
            (b"\x00\x00\x00\x0e", "ours"),
            (b"\x00\x00\x00\x00", "ours"),
            (b"\x00\x00\x01\x00\x83\xa6action", "ours"),
            (b"\x00\x01\x00\x00\x83\xa6action", "ours"),
            (b"\x01\x00\x00\x07", "ours"),
            (b"{", "unclear"),
            (b"{\"a", "unclear"),
            (b"{\"action\":\"ping\"}\n", "not JSON: JSON lines"),
            (b" \n {\"a", "not JSON"),
            (b"[1]\n", "not JSON"),
            (b"GET / HTTP/1.1\r\n", "not HTTP"),
            (b"PUT / HTTP/1.1\r\n", "not HTTP"),
            (b"subscribe x\r\n", "not text"),
            (b"\x16\x03\x01\x02\x00\x01", "not TLS"),
            (b"\x16\x03\x05\x02", "ours"),
            (b"\x83\xa6action\xa4ping", "send the length of each message before it"),
            (b"\x81\xa6a", "unclear"),
            (b"\x0e\x00\x00\x00\x81", "highest byte first"),
            (b"\x0e\x01\x00\x00\x81", "highest byte first"),
            (b"\x0e\x01\x01\x00\x81", "ours"),
        ];
        for (start, expected) in table {
            let shown = String::from_utf8_lossy(start);
            match (recognise(start), expected) {
                (Foreign::Ours, "ours") | (Foreign::Unclear, "unclear") => {}
                (Foreign::Theirs(reason), phrase) => assert!(reason.contains(phrase), "{shown:?} gave {reason:?}, not {phrase:?}"),
                (answer, _) => panic!("{shown:?} gave {answer:?}, not {expected:?}"),
            }
        }
    }
}
