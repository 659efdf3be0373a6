use super::*;
use crate::wire::json_lines::ENCODER;

fn line(text: &str) -> Frame {
    Frame::lasting(text.as_bytes().into(), &ENCODER)
}

use crate::wire::Frame;

/// A stream that has all there can be.
fn full() -> (Vec<u8>, (Position, u64)) {
    let position = Position { epoch: Epoch::new(7), sequence: 9 };
    let ended = Some(SavedEnd { forget_at: Duration::from_millis(1234), last: Some(line("{\"b\":2}\n")) });
    let stream = SavedStream { position, bytes: 11, since: 5, header_at: 6, header: Some(line("{\"a\":1}\n")), is_old: true, ended };
    let mut row = Vec::new();
    assert!(write_stream(&stream, &mut row));
    (row, (position, 11))
}

fn of_stream(row: &[u8]) -> Result<SavedStream, Fault> {
    read_stream(row, full().1)
}

#[test]
fn a_row_that_is_cut_short_or_goes_on_is_refused() {
    let (row, position) = full();
    assert!(read_stream(&row, position).is_ok());
    for length in 0..row.len() {
        assert_eq!(read_stream(&row[..length], position).err(), Some(SHORT), "{length} of {}", row.len());
    }
    assert_eq!(of_stream(&[&row[..], b"x"].concat()).err(), Some("it goes on behind its end"));
    let mut window = Vec::new();
    assert!(write_run(&(Frame::new(b"1\n2\n".as_slice().into(), 2, &ENCODER), 3), &mut window));
    assert_eq!(read_window(&window).map(|runs| runs.len()), Ok(1));
    for length in 1..window.len() {
        assert_eq!(read_window(&window[..length]).err(), Some(SHORT));
    }
    assert_eq!(read_position(&super::position(position.0, 1)[..23]).err(), Some(SHORT));
    assert_eq!(number(&[0; 9]).err(), Some("it goes on behind its end"));
}

#[test]
fn what_means_nothing_is_refused() {
    let changed = |at: usize, byte: u8| {
        let (mut row, _) = full();
        row[at] = byte;
        of_stream(&row).err()
    };
    // The flags, then the encoding of the header, its length, and the line's end.
    for (at, byte, fault) in [
        (0, 16, "its flags mean nothing"),
        (0, HAS_LAST | HAS_HEADER, "its flags mean nothing"),
        (21, 0, "its encoding is not known"),
        (21, 3, "its encoding is not known"),
        (33, b' ', "a message in it is not whole"),
        (30, b'\n', "it has more or fewer messages than it says"),
    ] {
        assert_eq!(changed(at, byte), Some(fault), "{at} {byte}");
    }
    assert_eq!(changed(25, 255), Some(SHORT));
    for (messages, units) in [(0, ""), (1, ""), (0, "1\n"), (2, "1\n"), (1, "1\n2\n")] {
        let mut row = Vec::new();
        assert!(write_run(&(Frame::new(units.as_bytes().into(), messages, &ENCODER), 0), &mut row));
        assert_eq!(read_window(&row).err(), Some("it has more or fewer messages than it says"), "{messages} {units:?}");
    }
    assert_eq!(epoch(0).err(), Some("its epoch is none"));
    assert_eq!(epoch(u64::MAX).err(), Some("its epoch is none"));
    assert_eq!(read_will(&[2]).err(), Some("its flags mean nothing"));
    assert_eq!(read_will(&[1, 1, 0, 0, 0, b'a']).err(), Some("its name is none of a session"));
    for name in [&b""[..], b"\xff", b"$streams"] {
        assert_eq!(stream_name(name).err(), Some("its name is none of a stream"));
    }
}

#[test]
fn the_numbers_of_encodings_stay() {
    let (row, _) = full();
    assert_eq!(row[21], 1, "JSON lines");
    let mut row = Vec::new();
    assert!(frames::write(&Frame::lasting(b"\0\0\0\x01\x80".as_slice().into(), &crate::wire::message_pack::ENCODER), &mut row));
    assert_eq!(row, b"\x02\x05\0\0\0\0\0\0\x01\x80");
}
