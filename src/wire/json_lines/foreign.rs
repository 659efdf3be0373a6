//! Clients that speak something else: what they are, and what would be right.

use super::super::codec::Foreign;
use super::token::skip_space;

/// After so many bytes it is decided. No request line that matters is longer, and a client's first line must not be held up.
const MOST: usize = 2048;

/// The longest method of HTTP and its kin (`BASELINE-CONTROL`) and some room.
const LONGEST_METHOD: usize = 24;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What a connection that begins with these bytes speaks.
pub(super) fn recognise(start: &[u8]) -> Foreign {
    // However much there is.
    let start = start.get(..MOST).unwrap_or(start);
    match told(start) {
        Foreign::Unclear if start.len() >= MOST => Foreign::Ours,
        answer => answer,
    }
}

fn told(start: &[u8]) -> Foreign {
    if start == [0x16] {
        return Foreign::Unclear;
    }
    if start.starts_with(&[0x16, 0x03]) {
        return theirs(
            "TLS",
            "connect without TLS, or to a port that is configured for it (and on a TLS port of this broker, use a client that starts TLS)",
        );
    }
    let text = start.get(skip_space(start, 0)..).unwrap_or_default();
    let Some(first) = text.first() else {
        return Foreign::Unclear;
    };
    if *first >= 0x20 && *first < 0x7f {
        return http(text);
    }
    if text.starts_with(BYTE_ORDER_MARK) {
        // It deserves an error line that names the mark.
        return Foreign::Ours;
    }
    if BYTE_ORDER_MARK.starts_with(text) {
        return Foreign::Unclear;
    }
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
        return theirs("UTF-16 text", "encode the lines as UTF-8, without a byte order mark");
    }
    theirs(
        &format!("binary data (it began with the byte 0x{first:02x})"),
        "check the client's protocol and port; if it compresses or packs its messages, turn that off",
    )
}

/// Whether text begins like a request line: METHOD SP target SP HTTP/.
fn http(text: &[u8]) -> Foreign {
    let (line, complete) = match memchr::memchr(b'\n', text) {
        Some(end) => (text.get(..end).unwrap_or_default(), true),
        None => (text, false),
    };
    let unclear = if complete { Foreign::Ours } else { Foreign::Unclear };
    let method = line.iter().take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-').count();
    if method == 0 || method > LONGEST_METHOD {
        return Foreign::Ours;
    }
    let (_, rest) = line.split_at(method);
    let Some(target) = rest.strip_prefix(b" ") else {
        return if rest.is_empty() { unclear } else { Foreign::Ours };
    };
    let Some(space) = memchr::memchr(b' ', target) else {
        return unclear;
    };
    let version = target.get(space + 1..).unwrap_or_default();
    if space > 0 && version.starts_with(b"HTTP/") {
        return theirs("HTTP", "send lines such as {\"action\":\"listen\",\"stream\":\"NAME\"} over a plain TCP connection");
    }
    if space > 0 && b"HTTP/".starts_with(version) { unclear } else { Foreign::Ours }
}

fn theirs(what: &str, cure: &str) -> Foreign {
    Foreign::Theirs(format!("this is the msgstream port, which speaks one JSON object per line, not {what}: {cure}"))
}

#[cfg(test)]
mod tests {
    use super::{MOST, recognise};
    use crate::wire::Foreign;

    /// What is expected: `ours`, `unclear`, or a phrase from the reason to refuse.
    fn check(start: &[u8], expected: &str) {
        let shown = String::from_utf8_lossy(start);
        match (recognise(start), expected) {
            (Foreign::Ours, "ours") | (Foreign::Unclear, "unclear") => {}
            (Foreign::Theirs(reason), phrase) => {
                assert!(reason.contains(phrase), "{shown:?} gave {reason:?}, not {phrase:?}");
                assert!(reason.contains("one JSON object per line"), "{reason}");
            }
            (answer, _) => panic!("{shown:?} gave {answer:?}, not {expected:?}"),
        }
    }

    #[test]
    fn what_a_connection_begins_with() {
        let table: [(&[u8], &str); 33] = [
            (b"{", "ours"),
            (b" \r\n {\"action\"", "ours"),
            (b"[1]", "ours"),
            (b"hello\n", "ours"),
            (b"\xef\xbb\xbf{}", "ours"),
            (b"\xef\xbb", "unclear"),
            (b"", "unclear"),
            (b"\n\n", "unclear"),
            (b"\x16", "unclear"),
            (b"\x16\x03", "TLS"),
            (b"\x16\x03\x01\x02\x00\x01", "TLS"),
            (b"\x16\x04", "0x16"),
            (b"GET / HTTP/1.1\r\n", "HTTP"),
            (b"GET / HTTP/", "HTTP"),
            (b"\r\nPOST /x HTTP/1.0", "HTTP"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP"),
            (b"VERSION-CONTROL / HTTP/1.1", "HTTP"),
            (b"G", "unclear"),
            (b"GET", "unclear"),
            (b"GET ", "unclear"),
            (b"GET /long", "unclear"),
            (b"GET / HT", "unclear"),
            (b"GET\n", "ours"),
            (b"GET / HT\n", "ours"),
            (b"GET  HTTP/1.1\n", "ours"),
            (b"GET / FTP/1.1\n", "ours"),
            (b"PING\r\n", "ours"),
            (b"NaN", "ours"),
            (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "ours"),
            (b"\x00\x01", "0x00"),
            (b"\xff\xfe{\0", "UTF-16"),
            (b"\x82\xa6action", "0x82"),
            (b"\x7fELF", "0x7f"),
        ];
        for (start, expected) in table {
            check(start, expected);
        }
    }

    #[test]
    fn nothing_stays_unclear_for_long() {
        let mut start = b"GET /".to_vec();
        start.resize(MOST - 1, b'a');
        check(&start, "unclear");
        start.push(b'a');
        check(&start, "ours");
        check(&vec![b' '; MOST], "ours");
        check(&vec![b'\n'; MOST + 1], "ours");
    }
}
