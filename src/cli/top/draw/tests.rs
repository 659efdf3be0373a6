//! Pictures of the model.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use super::*;
use crate::cli::entry::Entry;
use crate::cli::streams::Heard;
use crate::cli::top::model::Act;
use crate::client::{Event, Joined, StreamState};
use crate::job::content::Content;

fn now() -> Timestamp {
    "2026-11-28T12:00:12Z".parse().unwrap()
}

fn content(json: &str) -> Content {
    Content::from_json(json).unwrap()
}

fn add(model: &mut Model, name: &str, state: &str, header: &str) {
    let then = now().as_second() - 3;
    let entry = format!(
        r#"{{"state":"{state}","listeners":2,"messages":40,"position":{{"epoch":"000000000000000a","sequence":40}},"header_time":{then},"message_time":{then}}}"#
    );
    model.enter(name.into(), Some(Entry::of(&content(&entry))), now() - SignedDuration::from_secs(1));
    model.hear(name, &Heard::Event(Event::Header(content(header))), now());
}

fn join(title: &str, k: f64) -> String {
    format!(
        r#"{{".class":"monitor.Join",".state":{{"title":"{title}","k":{k},"total":10,"units":"steps","started":"2026-11-28T12:00:00Z"}}}}"#
    )
}

fn say(model: &mut Model, name: &str, message: &str) {
    model.hear(name, &Heard::Event(Event::Message(content(message))), now());
}

fn model() -> Model {
    let mut model = Model::new("127.0.0.1:7342".to_owned(), String::new());
    add(&mut model, "fit-1", "running", &join("decay", 3.0));
    add(&mut model, "計算", "running", &join("日本語の題", 5.0));
    add(&mut model, "build", "running", &join("make", 4.0));
    add(&mut model, "plain", "waiting", "null");
    say(&mut model, "fit-1", r#"{"k":4,"text":"cooling down"}"#);
    let end = content(r#"{".class":"monitor.Error",".state":{"reason":"exit status 2"}}"#);
    model.hear("build", &Heard::Event(Event::Ended { message: Some(end) }), now());
    say(&mut model, "plain", "\"\\u001b[31mred\\u001b[2J\"");
    model
}

fn picture(model: &mut Model, (columns, rows): (u16, u16), colours: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    let (of_table, of_page) = room((rows, columns));
    model.arrange(of_table, of_page, now());
    terminal.draw(|frame| draw(frame, model, Colours(colours), now())).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> Vec<String> {
    let area = *buffer.area();
    let row = |y: u16| {
        let (mut line, mut x) = (String::new(), 0);
        while x < area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(crate::cli::text::width(symbol)).unwrap().max(1);
        }
        line.trim_end().to_owned()
    };
    (0..area.height).map(row).collect()
}

fn shown(model: &mut Model, columns: u16, rows: u16) -> Vec<String> {
    text(&picture(model, (columns, rows), false))
}

#[test]
fn a_terminal_of_80_columns_shows_how_streams_stand_and_what_they_say() {
    assert_eq!(
        shown(&mut model(), 80, 9),
        [
            "127.0.0.1:7342 connected",
            "1 failed  2 running  1 waiting",
            "stream    state↑   done                  left   quiet  last message",
            "build     failed    40%  ████──────               3 s  failed: exit status 2",
            "fit-1     running   40%  ████──────     00:18     3 s  cooling down",
            "計算      running   50%  █████─────     00:12     3 s  日本語の題",
            "plain     waiting                                 3 s  red␛[2J",
            "",
            "? keys  q quit  Enter shows  / search  f filter  s state                   1-4/4",
        ]
    );
}

#[test]
fn a_wide_terminal_shows_all() {
    let shown = shown(&mut model(), 170, 9);
    assert!(shown[2].contains("rate") && shown[2].contains("listeners  messages  per s"), "{shown:#?}");
    assert!(shown[4].contains("3 s/step     00:18          2        40"), "{shown:#?}");
}

#[test]
fn a_phone_shows_names_states_and_shares() {
    let mut model = model();
    assert_eq!(
        shown(&mut model, 40, 10)[2..7],
        [
            "stream   state↑  done     left  quiet",
            "build    failed   40%             3 s",
            "fit-1    running  40%    00:18    3 s",
            "計算     running  50%    00:12    3 s",
            "plain    waiting                  3 s",
        ]
    );
    assert_eq!(shown(&mut model, 20, 4), ["127.0.0.1:7342 conn…", "stream   state↑", "build    failed", "? keys  q qu…  1-1/4"]);
}

#[test]
fn a_connection_that_is_lost_is_shown_as_such() {
    let mut model = model();
    model.lose("the broker at 127.0.0.1:7342 is away: refused".to_owned(), now());
    let shown = shown(&mut model, 80, 9);
    assert_eq!(shown[..2], ["no connection 127.0.0.1:7342", "1 failed  3 no news"]);
    assert!(shown[8].starts_with("the broker at 127.0.0.1:7342 is away"), "{shown:#?}");
    assert!(!shown.join("\n").contains("running"), "{shown:#?}");
    assert!(!shown.join("\n").contains("00:1"), "nobody knows how long it will go on: {shown:#?}");
}

#[test]
fn the_page_of_a_stream_shows_its_header_and_what_it_says() {
    let mut model = model();
    model.arrange(10, 10, now());
    model.act(Act::Down, now());
    model.act(Act::Open, now());
    let header = join("decay", 4.0);
    for heard in [
        Heard::Event(Event::Header(content(&header))),
        Heard::Joined(Joined::new(StreamState::Running)),
        Heard::Event(Event::Message(content(r#"{".class":"monitor.Log",".state":{"text":"one\ntwo","level":"error"}}"#))),
        Heard::Event(Event::Message(content(r#""\u001b]0;title\u0007three""#))),
        Heard::Event(Event::Reconnected { reason: "why".to_owned(), missed: Some(7) }),
    ] {
        model.hear_tail(&heard, now());
    }
    assert_eq!(
        shown(&mut model, 70, 9),
        [
            "fit-1  running  decay",
            " 40% ████████▍──────────── [00:12<00:18] 3 s/step 4/10 steps",
            "messages 40  listeners 2",
            "header {\".class\":\"monitor.Join\",\".state\":{\"title\":\"decay\",\"k\":4,\"tota…",
            "one",
            "two",
            "␛]0;title␇three",
            "connected again; 7 messages are missing here",
            "Esc back  ↑↓ scroll  ? keys  q quit",
        ]
    );
    let entry = r#"{"state":"running","listeners":3,"messages":41,"nodes":{"north":2,"south\u001b[2J":1}}"#;
    model.enter("fit-1".into(), Some(Entry::of(&content(entry))), now());
    let numbers = shown(&mut model, 70, 9)[2].clone();
    assert!(numbers.starts_with("messages 41  listeners 2 (north 2, south␛[2J 1, with this one)"), "{numbers}");
    model.enter("fit-1".into(), None, now());
    assert!(shown(&mut model, 70, 9)[0].starts_with("fit-1  not there"));
}

#[test]
fn keys_are_told_on_the_smallest_terminal() {
    let mut model = model();
    model.act(Act::Help, now());
    let shown = shown(&mut model, 40, 10);
    assert_eq!(shown[1..9].iter().filter(|row| row.is_empty() || row.contains('…')).count(), 0, "{shown:#?}");
}

#[test]
fn what_was_set_is_told_below() {
    let mut model = model();
    model.act(Act::Search, now());
    "zz".chars().for_each(|letter| model.act(Act::Type(letter), now()));
    assert!(shown(&mut model, 80, 9)[8].starts_with("/zz▏"));
    model.act(Act::Open, now());
    model.act(Act::Filter, now());
    let shown = shown(&mut model, 80, 9);
    assert!(shown[8].starts_with("/zz  running  ? keys"), "{shown:#?}");
    assert_eq!(shown[3], "none of 4 streams is so; f and / show others");
}

/// Each terminal has its own idea of the sixteen colours, which can be read on its background.
#[test]
fn colours_are_those_of_the_terminal_or_none() {
    let colours = |colours: bool| {
        let buffer = picture(&mut model(), (100, 9), colours);
        let mut found: Vec<Color> = buffer.content().iter().flat_map(|cell| [cell.fg, cell.bg]).collect();
        found.sort_by_key(|colour| format!("{colour:?}"));
        found.dedup();
        found
    };
    assert_eq!(colours(false), [Color::Reset]);
    assert_eq!(colours(true), [Color::Green, Color::Red, Color::Reset]);
    let buffer = picture(&mut model(), (100, 9), true);
    let failed = &buffer[(10, 3)];
    assert_eq!((failed.symbol(), failed.fg), ("f", Color::Red));
    assert!((0..100).all(|x| buffer[(x, 3)].modifier.contains(Modifier::REVERSED)), "what is marked is so to the end of its row");
}

/// Whatever the size, and whatever streams are called and say.
#[test]
fn nothing_is_drawn_outside_of_the_terminal() {
    let mut model = model();
    for (number, text) in ["\u{301}", "👩‍👩‍👧\u{fe0f}", "لا", "\u{1100}\u{1161}", "\u{202e}a\\tb\\n", "x"].iter().enumerate()
    {
        let name: Arc<str> = format!("{number}{}", text.repeat(40)).into();
        add(&mut model, &name, "running", &join(&text.repeat(50), 1e300));
        say(&mut model, &name, &format!(r#"{{"k":-5,"total":1e-9,"units":"{text}","text":"{}"}}"#, text.repeat(200)));
    }
    for (columns, rows) in (1..130).flat_map(|columns| [1, 2, 3, 7, 8, 20].map(|rows| (columns, rows))) {
        for acts in [&[][..], &[Act::Last, Act::Open], &[Act::Back, Act::Help], &[Act::Help]] {
            acts.iter().for_each(|act| model.act(*act, now()));
            let drawn = picture(&mut model, (columns, rows), true);
            assert!(drawn.content().iter().all(|cell| !cell.symbol().chars().any(char::is_control)));
        }
    }
}
