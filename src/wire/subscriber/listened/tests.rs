use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::*;
use crate::wire::{Epoch, StreamState};

/// What a listener was told, and where it was when it joined last.
#[derive(Clone, Default)]
struct Seen(Rc<RefCell<Vec<String>>>, Rc<Cell<Option<u64>>>);

impl Take for Seen {
    fn take(&self, event: Event) -> bool {
        self.0.borrow_mut().push(match &event {
            Event::Header(content) => format!("header {content}"),
            Event::Message(content) => content.to_string(),
            Event::Ended { message: None } => "ended".to_owned(),
            Event::Ended { message: Some(content) } => format!("ended {content}"),
            other => format!("{other:?}"),
        });
        !event.is_last()
    }

    fn joined(&self, joined: Joined) {
        self.0.borrow_mut().push(joined.state.as_str().to_owned());
        self.1.set(joined.position.map(|position| position.sequence));
    }
}

impl Seen {
    fn text(&self) -> String {
        self.0.borrow().join(", ")
    }
}

fn at(sequence: u64) -> Position {
    Position { epoch: Epoch::new(1), sequence }
}

fn content(text: &str) -> Content {
    Content::from_json(text).unwrap()
}

#[test]
fn the_put_before_the_receipt_is_the_header_if_the_stream_has_one() {
    for (state, expected) in [(StreamState::Running, "running, header 1, 2"), (StreamState::Waiting, "waiting, 2")] {
        let (mut stream, seen) = (Listened::default(), Seen::default());
        stream.join(7, Start::default(), vec![seen.clone()]);
        stream.put(content("1"));
        stream.joined(7, Joined::new(state));
        stream.put(content("2"));
        assert_eq!(seen.text(), expected);
    }
}

#[test]
fn what_was_skipped_counts_for_the_position_and_is_no_header() {
    let (mut stream, seen) = (Listened::default(), Seen::default());
    assert!(stream.wants(true));
    stream.join(1, Start::default(), vec![seen.clone()]);
    stream.joined(1, Joined { position: Some(at(7)), ..Joined::new(StreamState::Waiting) });
    stream.join(2, Start::default(), vec![Seen::default()]);
    stream.put(content("8"));
    stream.skipped(3);
    stream.put(content("12"));
    stream.joined(2, Joined { position: Some(at(12)), ..Joined::new(StreamState::Waiting) });
    assert_eq!(seen.text(), "waiting, 8, Skipped { messages: 3 }, 12");
    assert_eq!(stream.lost("", true).0.unwrap().0.position, at(12));
}

// Seen to fail: one that had had the messages was told that they were skipped, and counted them again.
#[test]
fn nobody_is_told_that_was_skipped_what_it_has_had() {
    let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
    assert!(stream.wants(true));
    stream.join(1, Start::default().latest(true), vec![one.clone()]);
    stream.joined(1, Joined { position: Some(at(7)), ..Joined::new(StreamState::Waiting) });
    stream.join(2, Start::default().latest(true).last(5), vec![other.clone()]);
    stream.joined(2, Joined { position: Some(at(2)), ..Joined::new(StreamState::Waiting) });
    stream.skipped(4);
    stream.put(content("7"));
    // The first has had but one of these.
    stream.skipped(2);
    stream.put(content("10"));
    assert_eq!(one.text(), "waiting, Skipped { messages: 2 }, 10");
    assert_eq!(other.text(), "waiting, Skipped { messages: 4 }, 7, Skipped { messages: 2 }, 10");
}

#[test]
fn a_connection_listens_to_the_newest_only_if_nobody_wants_each() {
    let mut stream = Listened::default();
    assert!(stream.wants(true));
    stream.join(1, Start::default(), vec![Seen::default()]);
    assert!(stream.wants(true));
    assert!(!stream.wants(false));
    stream.join(2, Start::default(), vec![Seen::default()]);
    assert!(!stream.wants(true));
}

#[test]
fn who_listens_already_gets_messages_and_not_the_newcomers_header() {
    let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
    stream.join(1, Start::default(), vec![one.clone()]);
    stream.joined(1, Joined::new(StreamState::Waiting));
    stream.join(2, Start::default(), vec![other.clone()]);
    for message in ["1", "2", "9"] {
        stream.put(content(message));
    }
    stream.joined(2, Joined::new(StreamState::Running));
    stream.put(content("3"));
    stream.close(Some(content("4")));
    assert_eq!(one.text(), "waiting, 1, 2, 3, ended 4");
    assert_eq!(other.text(), "running, header 9, 3, ended 4");
    assert!(stream.is_empty());
}

#[test]
fn an_end_that_came_before_is_told_to_the_newcomer_alone() {
    let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
    stream.join(1, Start::default(), vec![one.clone()]);
    stream.joined(1, Joined::new(StreamState::Waiting));
    stream.join(2, Start::default(), vec![other.clone()]);
    stream.put(content("1"));
    stream.close(None);
    stream.put(content("9"));
    stream.joined(2, Joined::new(StreamState::Ended));
    stream.close(Some(content("2")));
    assert_eq!(one.text(), "waiting, 1, ended");
    assert_eq!(other.text(), "ended, header 9, ended 2");
    assert!(stream.is_empty());
}

#[test]
fn what_was_under_way_to_one_who_left_reaches_nobody() {
    let (mut stream, seen) = (Listened::default(), Seen::default());
    // The connection had listened, and hung up; these were sent before the broker knew.
    stream.join(2, Start::default(), vec![seen.clone()]);
    stream.put(content("1"));
    stream.close(None);
    stream.put(content("9"));
    stream.joined(2, Joined::new(StreamState::Running));
    assert_eq!(seen.text(), "running, header 9");

    let (mut stream, seen) = (Listened::default(), Seen::default());
    stream.join(2, Start::default(), vec![seen.clone()]);
    stream.put(content("1"));
    stream.close(None);
    stream.joined(2, Joined::new(StreamState::Ended));
    stream.close(Some(content("2")));
    assert_eq!(seen.text(), "ended, ended 2");
}

#[test]
fn a_refused_newcomer_takes_nothing_from_the_others() {
    let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
    stream.join(1, Start::default(), vec![one.clone()]);
    stream.joined(1, Joined::new(StreamState::Waiting));
    stream.join(2, Start::default(), vec![other.clone()]);
    stream.put(content("1"));
    stream.refused(2, &Reason { code: "limit".to_owned(), reason: "too many".to_owned() });
    assert_eq!(one.text(), "waiting, 1");
    assert!(other.text().starts_with("CutOff"), "{}", other.text());
}

/// A listener that has had one message when its connection is lost, and where it was.
fn lost(seen: &Seen) -> (Back, Vec<Seat<Seen>>) {
    let mut stream = Listened::default();
    stream.join(1, Start::default(), vec![seen.clone()]);
    stream.put(content("0"));
    stream.joined(1, Joined { position: Some(at(7)), ..Joined::new(StreamState::Running) });
    stream.put(content("1"));
    // While another one joins, what comes may be its header: its receipt is lost.
    stream.join(2, Start::default(), vec![Seen::default()]);
    stream.put(content("0"));
    let (before, newcomers) = stream.lost("end of file", true);
    assert_eq!(newcomers.len(), 1);
    before.unwrap()
}

#[test]
fn one_that_comes_back_and_missed_nothing_is_told_nothing() {
    let seen = Seen::default();
    let (back, listeners) = lost(&seen);
    assert_eq!(back.position, at(8));
    // And again before it has come back.
    let mut stream = Listened::default();
    stream.join_again(1, listeners, back);
    let (before, _) = stream.lost("another", true);
    let (back, listeners) = before.unwrap();
    assert_eq!((back.position, &*back.reason), (at(8), "end of file"));

    let mut stream = Listened::default();
    stream.join_again(1, listeners, back);
    stream.joined(1, Joined { resumed: true, has_header: false, position: Some(at(8)), ..Joined::new(StreamState::Running) });
    stream.put(content("2"));
    assert_eq!(seen.text(), "running, header 0, 1, running, 2");
    assert_eq!(stream.lost("", true).0.unwrap().0.position, at(9));
}

/// Where it was comes something that this client cannot take: it would come again and again.
#[test]
fn one_that_may_not_resume_is_told_that_messages_may_be_missing() {
    let seen = Seen::default();
    let (back, listeners) = lost(&seen);
    let mut stream = Listened::default();
    stream.join_again(1, listeners, back);
    let (before, newcomers) = stream.lost("a long line", false);
    assert!(before.is_none());
    assert_eq!(newcomers.len(), 1);
    let gap = format!("{:?}", Event::Reconnected { reason: "end of file".to_owned(), missed: None });
    assert_eq!(seen.text(), format!("running, header 0, 1, {gap}"));
}

#[test]
fn the_last_event_is_preceded_by_no_header_of_another() {
    let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
    stream.join(1, Start::default(), vec![one.clone()]);
    stream.joined(1, Joined::new(StreamState::Waiting));
    stream.put(content("1"));
    stream.join(2, Start::default(), vec![other.clone()]);
    stream.put(content("9"));
    stream.tell(&Event::Lost { reason: "end of file".to_owned() });
    assert_eq!(one.text(), r#"waiting, 1, Lost { reason: "end of file" }"#);
    assert_eq!(other.text(), r#"Lost { reason: "end of file" }"#);
}

#[test]
fn one_that_comes_back_and_missed_something_is_told_how_much() {
    let seen = Seen::default();
    let (back, listeners) = lost(&seen);
    let mut stream = Listened::default();
    stream.join_again(1, listeners, back);
    stream.put(content("5"));
    stream.joined(1, Joined { missed: Some(3), position: Some(at(12)), ..Joined::new(StreamState::Running) });
    let gap = format!("{:?}", Event::Reconnected { reason: "end of file".to_owned(), missed: Some(3) });
    assert_eq!(seen.text(), format!("running, header 0, 1, {gap}, running, header 5"));
}

#[test]
fn earlier_messages_are_for_the_one_that_asks_for_them() {
    let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
    stream.join(1, Start::default(), vec![one.clone()]);
    stream.joined(1, Joined { position: Some(at(5)), ..Joined::new(StreamState::Waiting) });
    stream.put(content("6"));
    stream.join(2, Start::default().last(2), vec![other.clone()]);
    stream.put(content("7"));
    stream.joined(2, Joined { position: Some(at(5)), ..Joined::new(StreamState::Waiting) });
    for message in ["6", "7", "8"] {
        stream.put(content(message));
    }
    assert_eq!(one.text(), "waiting, 6, 7, 8");
    assert_eq!(other.text(), "waiting, 6, 7, 8");
}

#[test]
fn the_connection_may_be_lost_among_the_earlier_messages() {
    let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
    stream.join(1, Start::default(), vec![one.clone()]);
    stream.joined(1, Joined { position: Some(at(7)), ..Joined::new(StreamState::Waiting) });
    stream.join(2, Start::default().last(2), vec![other.clone()]);
    stream.joined(2, Joined { position: Some(at(5)), ..Joined::new(StreamState::Waiting) });
    stream.put(content("6"));
    let (back, seats) = stream.lost("end of file", true).0.unwrap();
    assert_eq!((back.position, seats.len()), (at(6), 2));
    let mut stream = Listened::default();
    stream.join_again(1, seats, back);
    stream.joined(1, Joined { resumed: true, position: Some(at(6)), ..Joined::new(StreamState::Waiting) });
    stream.put(content("7"));
    stream.put(content("8"));
    assert_eq!(one.text(), "waiting, waiting, 8");
    assert_eq!(other.text(), "waiting, 6, waiting, 7, 8");
}

// Seen to fail: both were told to be where the connection was, and to have missed as much.
#[test]
fn one_that_is_ahead_of_its_connection_comes_back_to_where_it_was() {
    let come_back = |joined| {
        let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
        stream.join(1, Start::default(), vec![one.clone()]);
        stream.joined(1, Joined { position: Some(at(7)), ..Joined::new(StreamState::Waiting) });
        stream.join(2, Start::default().last(2), vec![other.clone()]);
        stream.joined(2, Joined { position: Some(at(5)), ..Joined::new(StreamState::Waiting) });
        stream.put(content("6"));
        let (back, seats) = stream.lost("end of file", true).0.unwrap();
        let mut stream = Listened::default();
        stream.join_again(1, seats, back);
        stream.put(content("0"));
        stream.joined(1, joined);
        stream.put(content("8"));
        let told = |seen: &Seen| seen.text().replace("Reconnected { reason: \"end of file\", missed: Some(1) }", "1 missed");
        [(told(&one), one.1.get()), (told(&other), other.1.get())]
    };
    let missed = Joined { missed: Some(1), position: Some(at(7)), ..Joined::new(StreamState::Running) };
    let [one, other] = come_back(missed);
    assert_eq!(one, ("waiting, running, 8".to_owned(), Some(7)));
    assert_eq!(other, ("waiting, 6, 1 missed, running, header 0, 8".to_owned(), Some(7)));

    let resumed = Joined { resumed: true, has_header: false, position: Some(at(6)), ..Joined::new(StreamState::Running) };
    let [one, other] = come_back(resumed);
    assert_eq!((one.1, other.1), (Some(7), Some(6)));
}

#[test]
fn who_begins_after_a_position_is_told_what_is_missing_behind_it() {
    let (mut stream, seen) = (Listened::default(), Seen::default());
    stream.join(1, Start::default().after(at(3)), vec![seen.clone()]);
    stream.put(content("0"));
    stream.joined(1, Joined { missed: Some(4), position: Some(at(7)), ..Joined::new(StreamState::Running) });
    let gap = format!("{:?}", Event::Reconnected { reason: NOT_KEPT.to_owned(), missed: Some(4) });
    assert_eq!(seen.text(), format!("{gap}, running, header 0"));
    // One that waited for the answer when the connection was lost asks the same again.
    let mut stream = Listened::default();
    stream.join(1, Start::default().last(3), vec![seen]);
    assert_eq!(stream.lost("end of file", true).1[0].0, Start::default().last(3));
}
