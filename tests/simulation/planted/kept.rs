//! Histories of several brokers, with what the store promises broken in one place.

use std::time::Duration;

use msgstream::client::Event;

use super::{TERMS, content, ends, hears, message, position, says, session};
use crate::checker::check;
use crate::history::{Ended, Fact, Said};

/// A fact and its time, in seconds.
type At = (u64, Fact);

fn flaws(facts: &[At]) -> Vec<String> {
    check(&facts.iter().map(|(at, fact)| (Duration::from_secs(*at), fact.clone())).collect::<Vec<_>>(), &TERMS)
}

#[track_caller]
fn finds(facts: &[At], flaw: &str) {
    let flaws = flaws(facts);
    assert!(flaws.iter().any(|found| found.contains(flaw)), "no {flaw:?} among {flaws:#?}");
}

#[track_caller]
fn is_right(facts: &[At]) {
    assert_eq!(flaws(facts), Vec::<String>::new());
}

/// Two brokers, the first of which ends so at 20 s.
fn lives(before: &[At], end: Ended, after: &[At]) -> Vec<At> {
    let begins = || Fact::BrokerBegins { has_store: true };
    let (before, after) = (before.iter().cloned(), after.iter().cloned());
    [(0, begins())].into_iter().chain(before).chain([(20, ends(end)), (21, begins())]).chain(after).collect()
}

fn line(by_broker: bool, line: &str) -> Fact {
    Fact::Line { link: 0, client: 0, by_broker, line: line.to_owned() }
}

fn told(state: &str) -> Fact {
    let position = r#""position":{"epoch":"00000000000000aa","sequence":1}"#;
    line(true, &format!(r#"{{"action":"receipt","receipt":1,"state":"{state}",{position}}}"#))
}

#[test]
fn a_broker_that_claims_to_be_another_or_is_not_what_it_was_is_found() {
    let ping = || (1, line(false, r#"{"action":"ping"}"#));
    let after = |end, known, life| lives(&[(1, session(false, "a")), ping()], end, &[(22, session(known, life))]);
    is_right(&after(Ended::Whole, true, "a"));
    is_right(&after(Ended::Crashed, false, "b"));
    is_right(&after(Ended::CutShort, true, "b"));
    finds(&after(Ended::Whole, false, "a"), "is not known any more");
    // A count of before the crash.
    finds(&after(Ended::Crashed, true, "b"), "1 lines of client 0 are said to be taken, and 0 were written");
    finds(&after(Ended::Whole, true, "b"), "of the life");
    finds(&after(Ended::Crashed, false, "a"), "of the life");
    finds(&after(Ended::CutShort, true, "a"), "of the life");
    // One that had no time left before the stop may be gone.
    is_right(&lives(&[(1, session(false, "a")), (2, Fact::Away { client: 0 })], Ended::Whole, &[(22, session(false, "a"))]));
    finds(&lives(&[], Ended::Crashed, &[(22, Fact::NoBroker { why: String::new() })]), "no broker begins");
}

#[test]
fn an_epoch_that_goes_on_is_found() {
    for state in ["running", "waiting"] {
        is_right(&lives(&[(1, told(state))], Ended::Whole, &[(22, told(state))]));
        is_right(&lives(&[(1, told("running"))], Ended::Crashed, &[(22, told("ended"))]));
        finds(&lives(&[(1, told(state))], Ended::Crashed, &[(22, told(state))]), "goes on in another life");
        finds(&lives(&[(1, told(state))], Ended::CutShort, &[(22, told(state))]), "goes on in another life");
    }
}

#[test]
fn messages_that_are_lost_or_doubled_by_a_stop_are_found() {
    let said = |number| (1, says(Said::Message { number, has_header: false }));
    let listens = (2, Fact::Listens { listening: 0, client: 1, stream: 0, after: position(1), last: None });
    let ping = (2, line(false, r#"{"action":"ping"}"#));
    let before = [(1, session(false, "a")), said(1), said(2), said(3), ping, listens, (3, hears(0, 2, message(2)))];
    let third = |sequence| (22, hears(0, sequence, message(3)));
    let again = (22, session(true, "a"));
    let gap = (22, hears(0, 2, Event::Reconnected { reason: String::new(), missed: None }));
    is_right(&lives(&before, Ended::Whole, &[again.clone(), third(3)]));
    finds(&lives(&before, Ended::Whole, &[again.clone(), gap.clone(), third(3)]), "of which the broker has all");
    is_right(&lives(&before, Ended::Crashed, &[gap, third(3)]));
    for end in [Ended::Whole, Ended::Crashed] {
        // A window that is stale, and said to be all that there is.
        finds(&lives(&before, end, &[third(4)]), " after Position");
        finds(&lives(&before, end, &[(22, hears(0, 2, message(3)))]), "has (0, 3)");
    }
    // A count that is too small.
    let twice = [again.clone(), third(3), (23, hears(0, 4, message(3)))];
    finds(&lives(&before, Ended::Whole, &twice), "have taken effect twice");
    let repeats = (30, Fact::Counts { client: 0, repeated: 1, waiting: 0 });
    finds(&lives(&before, Ended::Whole, &[again, repeats]), "has forgotten nothing");
}

#[test]
fn what_was_durable_and_is_not_is_found() {
    let asks = |number: u32, kind: &str| {
        let receipt = format!(r#""receipt":"durable {number}","durable":true"#);
        (1, line(false, &format!(r#"{{"action":"{kind}","stream":"d0","message":{number},{receipt}}}"#)))
    };
    let answers = |kind: &str, number: u32| (2, line(true, &format!(r#"{{"action":"receipt","receipt":"{kind} {number}"}}"#)));
    let found = |state: &str, number: u32| {
        let (receipt, message) =
            (format!(r#"{{"action":"receipt","receipt":"found","state":"{state}"}}"#), format!(r#""stream":"d0","message":{number}"#));
        let lines = match state {
            "running" => vec![format!(r#"{{"action":"put",{message}}}"#), receipt],
            "ended" => vec![receipt, format!(r#"{{"action":"close",{message}}}"#)],
            _ => vec![receipt],
        };
        lines.into_iter().map(|text| (22, line(true, &text))).collect::<Vec<_>>()
    };
    for kind in ["durable", "done"] {
        let is_kept = |end| end == Ended::Whole || kind == "durable";
        for end in [Ended::Whole, Ended::Crashed] {
            let before = [asks(1, "header"), asks(2, "header"), asks(3, "close"), asks(4, "delete"), answers(kind, 2)];
            for (state, number) in [("running", 2), ("ended", 3), ("waiting", 0)] {
                is_right(&lives(&before, end, &found(state, number)));
            }
            finds(&lives(&before, end, &found("running", 4)), "is found");
            finds(&lives(&before, end, &found("ended", 2)), "is found");
            let after = lives(&before, end, &found("running", 1));
            if is_kept(end) {
                finds(&after, "is found Running(1)")
            } else {
                is_right(&after)
            }
            // Deleted by nobody.
            let after = lives(&before[..2].iter().chain(&before[4..]).cloned().collect::<Vec<_>>(), end, &found("waiting", 0));
            if is_kept(end) { finds(&after, "is found Nothing") } else { is_right(&after) }
        }
    }
}

#[test]
fn a_stream_that_nobody_has_written_to_is_found() {
    let joined =
        |state: &str| (22, line(true, &format!(r#"{{"action":"joined","stream":"s0","state":"{state}","position":{{"epoch":"0a"}}}}"#)));
    finds(&lives(&[], Ended::Crashed, &[joined("running")]), "to which nobody has written");
    finds(&lives(&[], Ended::Crashed, &[joined("ended")]), "to which nobody has written");
    is_right(&lives(&[(1, says(Said::Header { number: 1 }))], Ended::Crashed, &[joined("running")]));
    // Of what was said, one that was never so, after a crash as before it.
    let listens = (22, Fact::Listens { listening: 0, client: 1, stream: 0, after: None, last: None });
    let header = |number: u32| (22, hears(0, 1, Event::Header(content(&format!(r#"{{"p":0,"h":{number}}}"#)))));
    is_right(&lives(&[(1, says(Said::Header { number: 1 }))], Ended::Crashed, &[listens.clone(), header(1)]));
    finds(&lives(&[(1, says(Said::Header { number: 1 }))], Ended::Crashed, &[listens, header(2)]), "nobody has said the header");
}

#[test]
fn wills_that_are_lost_or_come_back_are_found() {
    let will = |at, is_over| {
        let (client, stream, number) = (0, 0, 1);
        (at, if is_over { Fact::WillIsOver { client, stream, number } } else { Fact::WillStands { client, stream, number } })
    };
    let before = |at, is_over| {
        let listens = Fact::Listens { listening: 0, client: 1, stream: 0, after: None, last: None };
        vec![(1, session(false, "a")), (2, says(Said::Will { number: 1 })), (2, listens), will(at, is_over)]
    };
    let end = |at| (at, hears(0, 0, Event::Ended { message: Some(content(r#"{"p":0,"will":1}"#)) }));
    let dies = (19, Fact::Dies { client: 0 });
    for crashed in [Ended::Crashed, Ended::Whole] {
        let with_death = |at| [before(at, false), vec![dies.clone()]].concat();
        is_right(&lives(&with_death(3), crashed, &[end(40)]));
        finds(&lives(&with_death(3), crashed, &[]), "has not taken effect");
        // Before its client could come back, and although it did.
        finds(&lives(&before(3, false), crashed, &[end(25)]), "was lost 0 times");
        let ping = (1, line(false, r#"{"action":"ping"}"#));
        let before = |at, is_over| [vec![ping.clone()], before(at, is_over)].concat();
        let back = (22, session(crashed == Ended::Whole, if crashed == Ended::Whole { "a" } else { "b" }));
        finds(&lives(&before(3, false), crashed, &[back, end(40)]), "was lost 0 times");
        finds(&lives(&before(3, true), crashed, &[end(40)]), "in a later run");
    }
    // What was done just before a crash may be lost, and so may all that was done while the disk was full.
    is_right(&lives(&[before(18, false), vec![dies.clone()]].concat(), Ended::Crashed, &[]));
    is_right(&lives(&before(18, true), Ended::Crashed, &[end(40)]));
    let full = |until: &[At]| [vec![(2, Fact::Saves { is_well: false })], before(3, false), until.to_vec(), vec![dies.clone()]].concat();
    is_right(&lives(&full(&[]), Ended::Crashed, &[]));
    is_right(&lives(&full(&[(15, Fact::Saves { is_well: true })]), Ended::Crashed, &[]));
    finds(&lives(&full(&[(4, Fact::Saves { is_well: true })]), Ended::Crashed, &[]), "has not taken effect");
}

#[test]
fn a_client_that_does_not_bring_its_header_back_is_found() {
    let finds_it = |found: &str| Fact::Finds { client: 0, stream: 0, wanted: "2".to_owned(), found: found.to_owned() };
    is_right(&lives(&[], Ended::Crashed, &[(90, finds_it("2"))]));
    finds(&lives(&[], Ended::Crashed, &[(90, finds_it("1"))]), "its last header is 2");
}
