//! The checker finds what is wrong: in a history in which all is right, one thing is changed.

mod kept;

use std::time::Duration;

use msgstream::client::{Epoch, Event, Position, Reason};
use msgstream::job::Content;

use super::checker::{Terms, check};
use super::history::{Ended, Fact, Said};

const TERMS: Terms = Terms { session_time: Duration::from_secs(10), keeps_all: true };

fn content(text: &str) -> Content {
    Content::from_json(text).unwrap()
}

fn position(sequence: u64) -> Option<Position> {
    Some(Position { epoch: Epoch::new(7), sequence })
}

fn hears(listening: u32, sequence: u64, event: Event) -> Fact {
    Fact::Hears { listening, event, position: position(sequence) }
}

fn message(number: u32) -> Event {
    Event::Message(content(&format!(r#"{{"p":0,"n":{number}}}"#)))
}

fn session(known: bool, life: &str) -> Fact {
    Fact::Session { client: 0, known, taken: u64::from(known), life: life.to_owned() }
}

fn ends(end: Ended) -> Fact {
    Fact::BrokerEnds { panics: 0, end }
}

fn says(said: Said) -> Fact {
    Fact::Says { client: 0, stream: 0, said }
}

/// A publisher with a will, a listener that hears all, and one that hears what follows a header.
fn history() -> Vec<Fact> {
    let listens = |listening| Fact::Listens { listening, client: 1 + listening, stream: 0, after: None, last: None };
    let header = Event::Header(content(r#"{"p":0,"upto":2}"#));
    let end = || Event::Ended { message: Some(content(r#"{"p":0,"will":1}"#)) };
    let mut facts = vec![Fact::BrokerBegins { has_store: false }, session(false, "a"), listens(0)];
    facts.extend((1..=4).map(|number| says(Said::Message { number, has_header: number == 2 })));
    facts.push(says(Said::Will { number: 1 }));
    facts.extend([hears(0, 1, message(1)), hears(0, 2, message(2)), listens(1), hears(1, 2, header)]);
    facts.extend((3..=4).flat_map(|number| (0..2).map(move |listening| hears(listening, number.into(), message(number)))));
    facts.push(Fact::Done { client: 0, stream: 0, number: 4, position: position(4) });
    facts.extend([Fact::Away { client: 0 }, hears(0, 4, end()), hears(1, 4, end())]);
    facts.extend([Fact::Counts { client: 0, repeated: 0, waiting: 0 }, ends(Ended::Whole)]);
    facts
}

/// What the checker finds in a history of which every fact but the will's effect happens at once.
fn flaws(facts: Vec<Fact>) -> Vec<String> {
    let at = |fact: &Fact| match fact {
        Fact::Hears { event: Event::Ended { .. }, .. } | Fact::BrokerEnds { .. } => TERMS.session_time,
        _ => Duration::ZERO,
    };
    check(&facts.into_iter().map(|fact| (at(&fact), fact)).collect::<Vec<_>>(), &TERMS)
}

fn place(facts: &[Fact], wanted: &Fact) -> usize {
    let wanted = format!("{wanted:?}");
    facts.iter().position(|fact| format!("{fact:?}") == wanted).unwrap()
}

#[test]
fn a_right_history_has_no_flaw() {
    assert_eq!(flaws(history()), Vec::<String>::new());
}

#[test]
fn what_is_wrong_is_found() {
    let found = |change: &dyn Fn(&mut Vec<Fact>), flaw: &str| {
        let mut facts = history();
        change(&mut facts);
        let flaws = flaws(facts);
        assert!(flaws.iter().any(|found| found.contains(flaw)), "no {flaw:?} among {flaws:#?}");
    };
    let replace = |facts: &mut Vec<Fact>, before: Fact, after: Vec<Fact>| {
        let at = place(facts, &before);
        facts.splice(at..=at, after);
    };
    let third = || hears(0, 3, message(3));
    found(&|facts| replace(facts, third(), vec![]), " after Position");
    found(&|facts| replace(facts, third(), vec![hears(0, 3, message(2))]), "has (0, 2)");
    found(&|facts| replace(facts, third(), vec![third(), third()]), " after Position");
    found(&|facts| replace(facts, hears(0, 2, message(2)), vec![]), " after Position");
    found(&|facts| replace(facts, third(), vec![hears(0, 3, message(9))]), "never said");
    found(&|facts| replace(facts, third(), vec![hears(0, 3, Event::Header(content(r#"{"p":0,"upto":2}"#)))]), "where none may be");
    // A gap that was told, and is not as long as that; a gap that is none.
    let gap = |missed| hears(0, 3, Event::Reconnected { reason: String::new(), missed });
    found(&|facts| replace(facts, third(), vec![gap(Some(2))]), "was told of Some(Some(2))");
    found(&|facts| replace(facts, third(), vec![third(), gap(None), third()]), "sent back to");
    let without_will = |facts: &mut Vec<Fact>| replace(facts, says(Said::Will { number: 1 }), vec![]);
    found(
        &|facts| {
            without_will(facts);
            replace(facts, third(), vec![third(), gap(None)]);
        },
        "of which the broker has all",
    );
    // One message is lost on its way to the broker, for everybody; one takes effect twice.
    let moved = |facts: &mut Vec<Fact>, number: u32| {
        for listening in 0..2 {
            replace(facts, hears(listening, 3, message(3)), vec![]);
            replace(facts, hears(listening, 4, message(4)), vec![hears(listening, 3, message(number))]);
        }
        facts.retain(|fact| !matches!(fact, Fact::Done { .. } | Fact::Hears { event: Event::Ended { .. }, .. }));
    };
    found(&|facts| moved(facts, 4), "3 is missing before its 4");
    found(&|facts| moved(facts, 1), "have taken effect twice");
    found(
        &|facts| replace(facts, says(Said::Message { number: 3, has_header: false }), vec![says(Said::Wrong { number: 3 })]),
        "was refused",
    );
    // Ends.
    found(&without_will, "nobody has said the end");
    found(&|facts| replace(facts, Fact::Away { client: 0 }, vec![]), "was lost 0 times");
    found(&|facts| facts.push(hears(0, 4, message(4))), "after the last event");
    let cut = || hears(0, 4, Event::CutOff(Reason::new("shutdown", "the broker stops")));
    found(&|facts| replace(facts, third(), vec![third(), cut()]), "cut off for");
    // Wills of which it is certain what becomes of them.
    let of_will = |over: bool| {
        let (client, stream, number) = (0, 0, 1);
        if over { Fact::WillIsOver { client, stream, number } } else { Fact::WillStands { client, stream, number } }
    };
    found(&|facts| replace(facts, says(Said::Will { number: 1 }), vec![says(Said::Will { number: 1 }), of_will(true)]), "in a later run");
    found(
        &|facts| {
            facts.extend([of_will(false), Fact::Dies { client: 0 }]);
            facts.retain(|fact| !matches!(fact, Fact::Hears { event: Event::Ended { .. }, .. }));
        },
        "has not taken effect",
    );
    // The last messages, and what a client says of itself.
    found(&|facts| facts.extend([Fact::Last { client: 0, stream: 0, number: 2 }, Fact::Stays { listening: 1 }]), "does not have (0, 2)");
    let counts = |repeated, waiting| Fact::Counts { client: 0, repeated, waiting };
    found(&|facts| replace(facts, counts(0, 0), vec![counts(1, 0)]), "has forgotten nothing");
    found(&|facts| replace(facts, counts(0, 0), vec![counts(0, 1)]), "actions waiting");
    found(&|facts| facts.push(Fact::BrokerEnds { panics: 1, end: Ended::Whole }), "panicked");
}
