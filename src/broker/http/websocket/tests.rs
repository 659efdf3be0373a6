use super::*;

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    put_frame(first, payload, &mut frame);
    let header = frame.len() - payload.len();
    frame[1] |= MASKED;
    let mask = [7, 11, 13, 251];
    let mut body = frame.split_off(header);
    unmask(&mut body, mask, 0);
    [frame, mask.to_vec(), body].concat()
}

/// The lines and answers, however the bytes fall apart.
fn told(bytes: &[u8]) -> (String, Vec<u8>, Came) {
    let mut all = Vec::new();
    for size in [1, 2, 3, 5, 7, bytes.len().max(1)] {
        let mut framing = TextMessages::default();
        let (mut lines, mut out, mut last) = (Vec::new(), Vec::new(), Came::Open);
        for piece in bytes.chunks(size) {
            last = framing.unframe(&mut piece.to_vec(), &mut lines, &mut out);
            if last != Came::Open {
                framing.end(&mut out);
                break;
            }
        }
        all.push((String::from_utf8_lossy(&lines).into_owned(), out, last));
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
    all.remove(0)
}

#[test]
fn a_message_is_a_line_in_however_many_frames_it_comes() {
    let long = "x".repeat(70_000);
    let bytes = [
        masked(FINAL | TEXT, b"one"),
        masked(TEXT, b"tw"),
        masked(FINAL | PING, b"still there?"),
        masked(CONTINUATION, b""),
        masked(FINAL | CONTINUATION, b"o\n2"),
        masked(FINAL | TEXT, b""),
        masked(FINAL | TEXT, &b"y".repeat(300)),
        masked(FINAL | TEXT, long.as_bytes()),
        masked(FINAL | PONG, b"unasked"),
    ];
    let (lines, out, came) = told(&bytes.concat());
    assert_eq!(lines, format!("one\ntwo 2\n\n{}\n{long}\n", "y".repeat(300)));
    assert_eq!((out, came), ([&[FINAL | PONG, 12][..], b"still there?"].concat(), Came::Open));
}

#[test]
fn the_end_is_told_once_all_before_it_is_taken() {
    let (lines, out, came) = told(&[masked(FINAL | TEXT, b"last"), masked(FINAL | CLOSE, b"\x03\xe8bye")].concat());
    assert_eq!((&*lines, out, came), ("last\n", b"\x88\x02\x03\xe8".to_vec(), Came::End));
}

#[test]
fn what_breaks_the_rules_is_told_so() {
    let mut unmasked = Vec::new();
    put_frame(FINAL | TEXT, b"hello", &mut unmasked);
    for (bytes, code) in [
        (unmasked, PROTOCOL_ERROR),
        (masked(FINAL | 0x40 | TEXT, b"compressed"), PROTOCOL_ERROR),
        (masked(FINAL | CONTINUATION, b"of nothing"), PROTOCOL_ERROR),
        ([masked(TEXT, b"a"), masked(FINAL | TEXT, b"b")].concat(), PROTOCOL_ERROR),
        (masked(PING, b"in pieces"), PROTOCOL_ERROR),
        (masked(FINAL | PING, &[0; 126]), PROTOCOL_ERROR),
        (masked(FINAL | 0x3, b"unknown"), PROTOCOL_ERROR),
        (masked(FINAL | BINARY, b"\x81\xa6"), NOT_TEXT),
    ] {
        let (_, out, came) = told(&bytes);
        assert_eq!((out, came), ([&[FINAL | CLOSE, 2], &code.to_be_bytes()[..]].concat(), Came::End), "{bytes:?}");
    }
}

#[test]
fn a_line_in_pieces_is_one_message() {
    let (mut framing, mut out) = (TextMessages::default(), Vec::new());
    for (bytes, starts, ends) in [(&b"ab"[..], true, false), (b"c", false, false), (b"", false, true), (b"d", true, true)] {
        framing.frame(Piece { bytes, starts, ends }, &mut out);
    }
    assert_eq!(out, b"\x01\x02ab\x00\x01c\x80\x00\x81\x01d");
}
