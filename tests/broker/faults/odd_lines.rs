//! Lines that are hard to read: deep, wide, or made of nothing that makes sense.

use std::time::{Duration, Instant};

use crate::harness::{Broker, Client, settings};

fn publish(publisher: &mut Client, message: &str) {
    publisher.send(&format!(r#"{{"action":"put","stream":"job","message":{message}}}"#));
}

#[track_caller]
fn expect_message(listener: &mut Client, message: &str) {
    let line = listener.next();
    assert!(line == format!(r#"{{"action":"put","stream":"job","message":{message}}}"#), "a message of {} bytes changed", message.len());
}

#[test]
fn depth_is_no_danger() {
    const DEPTH: usize = 1_000_000;
    let mut broker = Broker::start(settings());
    let mut listener = broker.listener("job");
    let mut publisher = broker.client();
    let arrays = "[".repeat(DEPTH) + &"]".repeat(DEPTH);
    let objects = r#"{"a":"#.repeat(DEPTH) + "1" + &"}".repeat(DEPTH);
    for deep in [&arrays, &objects] {
        publish(&mut publisher, deep);
        expect_message(&mut listener, deep);
    }
    // As an unknown key, and as the action itself.
    publisher.send(&format!(r#"{{"x":{arrays},"action":"put","stream":"job","message":1}}"#));
    expect_message(&mut listener, "1");
    publisher.send(&format!(r#"{{"action":{arrays}}}"#));
    publisher.expect_code("bad_action");
    // One bracket too few, one too many, the wrong one.
    for wrong in [&arrays[1..], &arrays[..arrays.len() - 1], &"[".repeat(DEPTH), &format!("{}{}", "[".repeat(DEPTH), "}".repeat(DEPTH))] {
        publish(&mut publisher, wrong);
        publisher.expect_code("bad_json");
    }
    listener.expect_silence();
    broker.assert_well();
}

#[test]
fn many_keys_are_refused_in_good_time() {
    let broker = Broker::start(settings());
    let mut client = broker.client();
    let mut other = broker.client();
    other.ping();
    // Each key would have to be compared with those before it, while everybody else waits.
    let keys: String = (0..200_000).map(|number| format!(r#""k{number}":0,"#)).collect();
    let start = Instant::now();
    client.send(&format!(r#"{{{keys}"action":"ping"}}"#));
    other.ping();
    client.expect_code("bad_json");
    assert!(start.elapsed() < Duration::from_secs(5), "200,000 keys took {:?}", start.elapsed());
    client.ping();
}

#[test]
fn long_names_and_actions_are_refused_and_not_echoed_whole() {
    let broker = Broker::start(settings());
    let mut client = broker.client();
    let long = "\\u00e9".repeat(1 << 20);
    for (line, code) in [
        (format!(r#"{{"action":"listen","stream":"{long}"}}"#), "bad_stream"),
        (format!(r#"{{"action":"{long}"}}"#), "bad_action"),
        (format!(r#"{{"action":"ping","{long}":1,"{long}":1}}"#), "bad_json"),
        (format!(r#"{{"action":"ping","receipt":"{long}"}}"#), "limit"),
        (long.clone(), "bad_json"),
    ] {
        client.send(&line);
        let error = client.expect_code(code);
        assert!(error.len() < 2_000, "an error of {} bytes", error.len());
    }
    client.ping();
}

#[test]
fn random_bytes_do_no_harm() {
    let mut broker = Broker::start(settings().set("limits.errors_in_a_row", 1_000_000));
    let mut listener = broker.listener("job");
    let mut client = broker.client();
    client.ping();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let good = br#"{"action":"put","stream":"job","message":{"a":[1.5e3,"\u00e9",null,true]},"receipt":"r"}"#;
    for _ in 0..3_000 {
        // A good line with a few bytes changed comes further than noise does.
        let mut line = good.to_vec();
        for _ in 0..=next() % 3 {
            let at = next() as usize % line.len();
            line[at] = next() as u8;
        }
        line.retain(|byte| *byte != b'\n');
        line.push(b'\n');
        client.send_bytes(&line);
    }
    let answers = client.arrived();
    let is_answer = |line: &String| {
        line.starts_with(r#"{"action":"error","#) || line.starts_with(r#"{"action":"receipt","#) || line.starts_with(r#"{"action":"p"#)
    };
    assert!(answers.iter().all(is_answer), "{:?}", answers.iter().find(|line| !is_answer(line)));
    assert!(answers.len() > 2_000, "only {} answers", answers.len());
    // Whatever came through is JSON.
    for line in listener.arrived() {
        serde_json::from_str::<serde::de::IgnoredAny>(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    broker.assert_well();
}
