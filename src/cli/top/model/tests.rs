//! The model: what is first, what is marked, what is listened to.

use super::*;
use crate::client::{Epoch, Event, Joined, Position, StreamState};
use crate::job::content::Content;

const NOW: &str = "2026-11-28T12:00:00Z";

fn now(seconds: i64) -> Timestamp {
    NOW.parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(seconds)
}

fn content(json: &str) -> Content {
    Content::from_json(json).unwrap()
}

fn position(epoch: u64, sequence: u64) -> Position {
    Position { epoch: Epoch::new(epoch), sequence }
}

fn entry(state: &str, epoch: u64, (listeners, messages): (u64, u64)) -> Entry {
    let at = now(0).as_second();
    Entry::of(&content(&format!(
        r#"{{"state":"{state}","listeners":{listeners},"messages":{messages},"position":{},"header_time":{at},"message_time":{at}}}"#,
        serde_json::to_string(&position(epoch, messages)).unwrap()
    )))
}

fn model(streams: &[(&str, &str)]) -> Model {
    let mut model = Model::new("127.0.0.1:7342".to_owned(), String::new());
    for (name, state) in streams {
        model.enter((*name).into(), Some(entry(state, 1, (0, 0))), now(0));
    }
    model.arrange(10, 10, now(0));
    model
}

fn names(model: &Model) -> Vec<String> {
    model.rows().map(|(row, is_marked)| format!("{}{}", if is_marked { ">" } else { "" }, row.name)).collect()
}

fn wanted(model: &mut Model) -> Vec<Arc<str>> {
    model.wanted(now(1)).unwrap()
}

fn joined(state: StreamState, sequence: u64) -> Heard {
    Heard::Joined(Joined { position: Some(position(1, sequence)), ..Joined::new(state) })
}

fn ended(class: &str) -> Heard {
    Heard::Event(Event::Ended { message: Some(content(&format!(r#"{{".class":"monitor.{class}",".state":{{"reason":"no"}}}}"#))) })
}

fn message(json: &str) -> Heard {
    Heard::Event(Event::Message(content(json)))
}

fn header(json: &str) -> Heard {
    Heard::Event(Event::Header(content(json)))
}

#[test]
fn what_has_failed_comes_first_at_once() {
    let mut model = model(&[("a", "running"), ("b", "running"), ("c", "waiting"), ("job-10", "running"), ("job-9", "running")]);
    assert_eq!(names(&model), [">a", "b", "job-9", "job-10", "c"]);
    model.hear("job-10", &ended("Error"), now(0));
    model.hear("b", &ended("Lost"), now(0));
    model.arrange(10, 10, now(0));
    assert_eq!(names(&model), [">job-10", "b", "a", "job-9", "c"], "who stands at the top sees what comes to the top");
}

#[test]
fn what_is_marked_stays_so_wherever_it_goes() {
    let mut model = model(&[("a", "running"), ("b", "running"), ("c", "running")]);
    model.act(Act::Down, now(0));
    model.hear("c", &ended("Error"), now(0));
    model.arrange(10, 10, now(0));
    assert_eq!(names(&model), ["c", "a", ">b"]);
    model.enter("b".into(), None, now(0));
    model.arrange(10, 10, now(0));
    assert_eq!(names(&model), ["c", ">a"], "the place is kept of one that is gone");
    model.act(Act::Sort, now(0));
    model.act(Act::Reverse, now(0));
    model.arrange(10, 10, now(0));
    assert_eq!((model.sort, names(&model)), (Sort::Name, vec!["c".to_owned(), ">a".to_owned()]));
}

#[test]
fn rows_are_shown_that_are_searched_for_and_stand_so() {
    let mut model = model(&[("fit-1", "running"), ("fit-2", "ended"), ("other", "running"), ("sim", "running")]);
    model.hear("sim", &header(r#"{".class":"monitor.Join",".state":{"title":"No FIT"}}"#), now(0));
    model.act(Act::Search, now(0));
    "Fit".chars().for_each(|letter| model.act(Act::Type(letter), now(0)));
    model.arrange(10, 10, now(0));
    assert_eq!(names(&model), [">fit-1", "sim", "fit-2"]);
    model.act(Act::Open, now(0));
    assert!(!model.is_typing && model.tail.is_none() && model.search == "Fit", "Enter ends the search, and keeps it");
    model.act(Act::Filter, now(0));
    model.arrange(10, 10, now(0));
    assert_eq!((model.filter, names(&model)), (Filter::Running, vec![">fit-1".to_owned(), "sim".to_owned()]));
    model.act(Act::Back, now(0));
    assert!(model.search.is_empty());
}

#[test]
fn only_what_is_seen_is_listened_to() {
    let streams: Vec<String> = (0..1000).map(|number| format!("job-{number}")).collect();
    let streams: Vec<(&str, &str)> = streams.iter().map(|name| (name.as_str(), "running")).collect();
    let mut model = model(&streams);
    assert_eq!(wanted(&mut model), (0..10).map(|number| format!("job-{number}").into()).collect::<Vec<Arc<str>>>());
    model.act(Act::PageDown, now(0));
    model.act(Act::PageDown, now(0));
    model.arrange(10, 10, now(0));
    assert_eq!(wanted(&mut model).first().map(|name| &**name), Some("job-11"));
    model.act(Act::Open, now(0));
    assert!(wanted(&mut model).is_empty(), "who looks at one stream sees no other");
    model.act(Act::Back, now(0));
    model.act(Act::Hold, now(0));
    assert_eq!(model.wanted(now(1)), None);
}

/// The directory does not tell how a stream has ended.
#[test]
fn how_a_stream_has_ended_is_asked_once_and_also_if_it_is_not_seen() {
    let mut model = model(&[("a", "running"), ("b", "running"), ("over", "ended")]);
    model.arrange(1, 1, now(0));
    assert_eq!(wanted(&mut model), ["a".into(), "over".into()]);
    model.hear("over", &joined(StreamState::Ended, 0), now(0));
    model.hear("over", &ended("Error"), now(0));
    model.arrange(1, 1, now(0));
    assert_eq!((names(&model), wanted(&mut model)), (vec![">over".to_owned()], vec![]), "it is first, and there is nothing to hear of it");
    // Its next run.
    model.enter("over".into(), Some(entry("running", 2, (0, 0))), now(1));
    model.arrange(3, 1, now(1));
    assert_eq!(model.rows().map(|(row, _)| row.state()).collect::<Vec<_>>(), ["running"; 3]);
    assert_eq!(wanted(&mut model).len(), 3);
}

/// Who listens by name keeps a stream from being forgotten.
#[test]
fn a_stream_without_a_header_that_is_quiet_is_heard_once() {
    let mut model = model(&[("a", "waiting")]);
    model.enter("a".into(), Some(entry("waiting", 1, (0, 1))), now(0));
    assert_eq!(model.wanted(now(100)).unwrap().len(), 1, "its newest message is not known");
    model.hear("a", &joined(StreamState::Waiting, 0), now(100));
    model.hear("a", &message("\"hello\""), now(100));
    assert!(model.wanted(now(100)).unwrap().is_empty());
    assert_eq!(model.rows().map(|(row, _)| row.says()).collect::<Vec<_>>(), ["hello"]);
    assert_eq!(model.wanted(now(1)).unwrap().len(), 1, "it has said something just now");
}

#[test]
fn this_program_is_none_of_the_listeners() {
    let mut model = model(&[("a", "running")]);
    let listeners = |model: &Model| model.rows().map(|(row, _)| row.listeners()).next();
    let enter = |model: &mut Model, listeners| model.enter("a".into(), Some(entry("running", 1, (listeners, 0))), now(0));
    enter(&mut model, 2);
    model.hear("a", &joined(StreamState::Running, 0), now(0));
    assert_eq!(listeners(&model), Some(2), "the entry is older");
    enter(&mut model, 3);
    assert_eq!(listeners(&model), Some(2));
    wanted(&mut model);
    model.act(Act::Open, now(0));
    wanted(&mut model);
    enter(&mut model, 3);
    assert_eq!(listeners(&model), Some(2), "who looks at it still listens to it");
    model.enter("b".into(), Some(entry("ended", 1, (0, 0))), now(0));
    model.act(Act::Back, now(0));
    model.act(Act::Filter, now(0));
    model.act(Act::Filter, now(0));
    model.arrange(10, 10, now(0));
    wanted(&mut model);
    enter(&mut model, 2);
    model.act(Act::Back, now(0));
    (0..3).for_each(|_| model.act(Act::Filter, now(0)));
    model.arrange(10, 10, now(0));
    assert_eq!(listeners(&model), Some(2), "what was left is counted as the broker counts it");
}

/// What was running may have ended since; what has ended has.
#[test]
fn nothing_is_said_to_run_while_the_broker_is_away() {
    let mut model = model(&[("a", "running"), ("b", "running"), ("c", "ended")]);
    model.hear("a", &ended("Error"), now(0));
    model.act(Act::Hold, now(0));
    model.lose("away".to_owned(), now(1));
    for _ in 0..2 {
        model.arrange(10, 10, now(1));
        let states: Vec<&str> = model.rows().map(|(row, _)| row.state()).collect();
        assert_eq!(states, ["failed", crate::cli::view::NO_NEWS, "ended"]);
        model.act(Act::Hold, now(1));
        assert!(wanted_or_none(&mut model).is_empty(), "nothing can be heard");
    }
    model.act(Act::Hold, now(1));
    // What was said before, and is heard only now.
    model.enter("b".into(), Some(entry("running", 1, (0, 1))), now(1));
    model.enter("d".into(), Some(entry("running", 1, (0, 0))), now(1));
    model.arrange(10, 10, now(1));
    assert_eq!(model.rows().filter(|(row, _)| row.state() == "running").count(), 0);
    model.enter("d".into(), None, now(1));
    model.find();
    model.enter("b".into(), Some(entry("running", 1, (0, 0))), now(2));
    model.arrange(10, 10, now(2));
    assert_eq!(model.rows().map(|(row, _)| row.state()).collect::<Vec<_>>(), ["failed", "running", "ended"]);
}

fn wanted_or_none(model: &mut Model) -> Vec<Arc<str>> {
    model.wanted(now(1)).unwrap_or_default()
}

#[test]
fn the_newest_message_tells_how_far_a_job_is_unless_its_header_is_newer() {
    let start = r#"{".class":"monitor.Start",".state":{"total":10}}"#;
    let mut model = model(&[("a", "running")]);
    let share = |model: &Model| model.rows().next().and_then(|(row, _)| row.job.share());
    model.enter("a".into(), Some(entry("running", 1, (0, 5))), now(0));
    model.hear("a", &header(start), now(0));
    model.hear("a", &joined(StreamState::Running, 4), now(0));
    model.hear("a", &message(r#"{"k":5}"#), now(0));
    assert_eq!(share(&model), Some(0.5));

    let late = now(5).as_second();
    let newer = format!(
        r#"{{"state":"running","messages":5,"position":{},"header_time":{late},"message_time":1}}"#,
        serde_json::to_string(&position(1, 5)).unwrap()
    );
    model.enter("a".into(), Some(Entry::of(&content(&newer))), now(0));
    model.hear("a", &header(r#"{".class":"monitor.Join",".state":{"k":9,"total":10}}"#), now(0));
    model.hear("a", &joined(StreamState::Running, 4), now(0));
    model.hear("a", &message(r#"{"k":5}"#), now(0));
    assert_eq!(share(&model), Some(0.9));
    model.hear("a", &message(r#"{"k":10}"#), now(0));
    assert_eq!(share(&model), Some(1.0), "what comes now is newer than any header");
}

#[test]
fn messages_are_counted_each_second() {
    let mut model = model(&[("a", "running"), ("b", "running")]);
    let enter = |model: &mut Model, messages, at| model.enter("a".into(), Some(entry("running", 1, (0, messages))), now(at));
    enter(&mut model, 100, 1);
    enter(&mut model, 140, 3);
    model.arrange(10, 10, now(3));
    assert_eq!((model.counts.speed, &*model.counts.states), (20.0, &[("running", 2)][..]));
    model.arrange(10, 10, now(6));
    assert_eq!(model.counts.speed, 0.0, "nothing has come for a while");
}
