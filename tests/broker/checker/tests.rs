//! The checker itself: every fault that it is for, planted.

use super::{Flaw, Record, Sent, Stay, check, header, put};

fn line(publisher: u32, seq: u32) -> String {
    put("job", publisher, seq)
}

fn header_line(publisher: u32, seq: u32) -> String {
    format!(r#"{{"action":"put","stream":"job","message":{}}}"#, header(publisher, seq))
}

/// Two publishers, six messages each, in the order in which the stream has them.
fn stream() -> Vec<String> {
    (0..6).flat_map(|seq| [line(0, seq), line(1, seq)]).collect()
}

fn flaw_in(listeners: &[(Stay, Vec<String>)]) -> Option<Flaw> {
    let records: Result<Vec<_>, _> = listeners.iter().map(|(stay, lines)| Record::new("job", *stay, lines)).collect();
    records.and_then(|records| check(&Sent::by_each(2, 6), &records)).err()
}

/// The flaw that is seen when one of two listeners of a whole stream got this instead.
fn planted(plant: impl FnOnce(&mut Vec<String>)) -> Option<Flaw> {
    let mut lines = stream();
    plant(&mut lines);
    flaw_in(&[(Stay::Throughout, stream()), (Stay::Throughout, lines)])
}

#[test]
fn clean_streams_pass() {
    assert_eq!(planted(|_| {}), None);
    let late = |from: usize| (Stay::Late, stream().split_off(from));
    let cut = |to: usize| (Stay::CutShort, stream()[..to].to_vec());
    assert_eq!(flaw_in(&[late(3), (Stay::Throughout, stream()), cut(5), late(11), late(12), cut(0)]), None);
    assert_eq!(flaw_in(&[(Stay::Between, stream()[3..7].to_vec()), (Stay::Throughout, stream())]), None);
    let mut joined = stream().split_off(6);
    joined.insert(0, header_line(0, 2));
    assert_eq!(flaw_in(&[(Stay::Late, joined)]), None);
    assert_eq!(flaw_in(&[]), None);
}

#[test]
fn one_dropped() {
    assert_eq!(planted(|lines| drop(lines.remove(4))), Some(Flaw::Gap { publisher: 0, expected: 2, got: 3 }));
}

#[test]
fn the_last_dropped() {
    assert_eq!(planted(|lines| drop(lines.pop())), Some(Flaw::Missing { publisher: 1, last: Some(4), sent: 6 }));
}

#[test]
fn all_dropped() {
    let flaw = planted(Vec::clear);
    assert!(matches!(flaw, Some(Flaw::Missing { last: None, sent: 6, .. })), "{flaw:?}");
}

#[test]
fn two_of_one_publisher_swapped() {
    assert_eq!(planted(|lines| lines.swap(4, 6)), Some(Flaw::Reordered { publisher: 0, seq: 3 }));
}

#[test]
fn two_of_different_publishers_swapped() {
    // Each publisher's own order is whole: only the listeners' disagreement shows it.
    assert_eq!(planted(|lines| lines.swap(4, 5)), Some(Flaw::Disagreement { first: (1, 2), second: (0, 2) }));
}

#[test]
fn one_doubled() {
    assert_eq!(planted(|lines| lines.insert(5, line(0, 2))), Some(Flaw::Duplicate { publisher: 0, seq: 2 }));
    assert_eq!(planted(|lines| lines.push(line(0, 0))), Some(Flaw::Duplicate { publisher: 0, seq: 0 }));
}

#[test]
fn something_foreign() {
    for foreign in [
        put("other", 0, 2),
        line(7, 0),
        line(0, 6),
        r#"{"action":"put","stream":"job","message":{"p":0}}"#.to_owned(),
        r#"{"action":"close","stream":"job"}"#.to_owned(),
        r#"{"action":"pong"}"#.to_owned(),
        r#"{"action":"put","stream":"job","mess"#.to_owned(),
    ] {
        let flaw = planted(|lines| lines.insert(4, foreign.clone()));
        assert!(matches!(flaw, Some(Flaw::Foreign(_))), "{foreign} gave {flaw:?}");
    }
}

#[test]
fn a_late_header() {
    assert_eq!(planted(|lines| lines.insert(1, header_line(0, 0))), Some(Flaw::HeaderLate));
    assert_eq!(planted(|lines| lines.splice(0..0, [header_line(0, 0), header_line(0, 0)]).for_each(drop)), Some(Flaw::HeaderLate));
}

#[test]
fn a_gap_at_the_join() {
    // Told up to 2 by the header, the next one is 3.
    for (next, flaw) in [(6, None), (8, Some(4)), (4, Some(2))] {
        let mut lines = stream().split_off(next);
        lines.insert(0, header_line(0, 2));
        let expected = flaw.map(|got| Flaw::GapAtJoin { publisher: 0, expected: 3, got });
        assert_eq!(flaw_in(&[(Stay::Late, lines)]), expected);
    }
    // Who listened before the first message must have it.
    assert_eq!(planted(|lines| drop(lines.remove(0))), Some(Flaw::GapAtJoin { publisher: 0, expected: 0, got: 1 }));
}

#[test]
fn nothing_after_a_header_that_does_not_tell_all() {
    let lines = vec![header_line(0, 2)];
    assert_eq!(flaw_in(&[(Stay::Late, lines)]), Some(Flaw::Missing { publisher: 0, last: Some(2), sent: 6 }));
}

#[test]
fn a_disagreement_of_late_listeners() {
    let mut late = stream().split_off(6);
    late.swap(2, 3);
    assert_eq!(
        flaw_in(&[(Stay::Late, stream().split_off(4)), (Stay::Late, late)]),
        Some(Flaw::Disagreement { first: (0, 4), second: (1, 4) })
    );
}
