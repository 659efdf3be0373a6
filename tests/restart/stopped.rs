//! A broker that is stopped for an upgrade and started again, under a job and its listeners.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::broker::{Broker, Client, Place};

fn is_put(line: &Value) -> bool {
    line["action"] == "put"
}

/// What stands behind the header, as numbers.
fn numbers(lines: &[Value]) -> Vec<u64> {
    lines.iter().filter(|line| is_put(line)).filter_map(|line| line["message"].as_u64()).collect()
}

#[test]
fn after_an_orderly_stop_clients_go_on_where_they_were() {
    let place = Place::new("stopped");
    let broker = Broker::start(&place, 0);
    let port = broker.port;
    let mut job = Client::connect(port);
    job.say(r#"{"action":"session","session":"a session of the job"}"#);
    let session = job.hear();
    job.say(r#"{"action":"will","stream":"job","message":"lost"}"#);
    job.say(r#"{"action":"header","stream":"job","message":{"state":"running"}}"#);
    (0..100).for_each(|number| job.say(&format!(r#"{{"action":"put","stream":"job","message":{number}}}"#)));
    job.say(r#"{"action":"put","stream":"nobody has seen it","message":"a"}"#);
    job.say(r#"{"action":"close","stream":"over","message":"complete"}"#);
    job.hear_all();
    let mut listener = Client::connect(port);
    listener.say(r#"{"action":"listen","stream":"job","receipt":1}"#);
    let (header, receipt) = (listener.hear(), listener.hear());
    assert_eq!((header["message"]["state"].as_str(), receipt["position"]["sequence"].as_u64()), (Some("running"), Some(100)));
    let position = receipt["position"].clone();
    (100..110).for_each(|number| job.say(&format!(r#"{{"action":"put","stream":"job","message":{number}}}"#)));
    job.hear_all();
    broker.stop();

    let broker = Broker::start(&place, port);
    let mut job = Client::connect(port);
    job.say(r#"{"action":"session","session":"a session of the job"}"#);
    let known = job.hear();
    // A will, a header, 110 messages, one of another stream, a close, two pings.
    assert_eq!((&known["known"], &known["taken"], &known["broker"]), (&json!(true), &json!(116), &session["broker"]));
    let mut listener = Client::connect(port);
    listener.say(&format!(r#"{{"action":"listen","stream":"job","after":{position},"receipt":1}}"#));
    let receipt = listener.hear();
    assert_eq!((&receipt["resumed"], &receipt["position"]), (&json!(true), &position));
    job.say(&format!(r#"{{"action":"put","stream":"job","message":110,"of":{}}}"#, position["epoch"]));
    job.hear_all();
    assert_eq!(numbers(&listener.hear_all()), (100..111).collect::<Vec<_>>());
    listener.say(r#"{"action":"listen","stream":"nobody has seen it","last":5,"receipt":2}"#);
    listener.say(r#"{"action":"listen","stream":"over","receipt":3}"#);
    let lines = listener.hear_all();
    let told: Vec<_> =
        lines.iter().map(|line| (line["action"].as_str().unwrap(), line["state"].as_str(), line["message"].as_str())).collect();
    let expected =
        [("receipt", Some("waiting"), None), ("put", None, Some("a")), ("receipt", Some("ended"), None), ("close", None, Some("complete"))];
    assert_eq!(told, expected);
    broker.stop();
}

/// A crash right after a start, or a second orderly stop: what could be vouched for before is either still so, or is not said.
#[test]
fn what_is_said_after_several_restarts_stays_true() {
    let place = Place::new("several");
    let broker = Broker::start(&place, 0);
    let mut job = Client::connect(broker.port);
    job.say(r#"{"action":"header","stream":"job","message":0}"#);
    job.say(r#"{"action":"put","stream":"job","message":1,"receipt":1}"#);
    let position = job.hear()["position"].clone();
    broker.stop();
    // Nothing happens in this life.
    Broker::start(&place, 0).stop();
    let resume = |broker: &Broker| {
        let mut listener = Client::connect(broker.port);
        listener.say(&format!(r#"{{"action":"listen","stream":"job","after":{position},"receipt":1}}"#));
        let lines = listener.hear_all();
        lines.into_iter().find(|line| line["action"] == "receipt").unwrap()
    };
    let broker = Broker::start(&place, 0);
    assert_eq!(resume(&broker)["resumed"], json!(true));
    broker.kill();
    let broker = Broker::start(&place, 0);
    let receipt = resume(&broker);
    assert_eq!((&receipt["resumed"], &receipt["state"]), (&json!(false), &json!("running")));
    assert_ne!(receipt["position"]["epoch"], position["epoch"]);
    broker.stop();
    // The header of the life that was killed is there, and one that says again what it has said takes its place: no orderly stop since has
    // brought back what was lost.
    let broker = Broker::start(&place, 0);
    let mut job = Client::connect(broker.port);
    for answer in ["receipt", "error"] {
        job.say(r#"{"action":"header","stream":"job","message":"again","if":"absent","receipt":1}"#);
        assert_eq!(job.hear()["action"], answer);
    }
    broker.stop();
}

// Seen to fail: an orderly stop forgot the wills of all who had no session, so that their streams never ended.
#[test]
fn a_will_without_a_session_outlives_an_orderly_stop() {
    let place = Place::new("sessionless");
    let settings = place.settings("[limits]\nsession_time = \"1s\"\n");
    let broker = Broker::start_with(&place, 0, &["--config", &settings]);
    let mut job = Client::connect(broker.port);
    job.say(r#"{"action":"header","stream":"job","message":1}"#);
    job.say(r#"{"action":"will","stream":"job","message":"lost"}"#);
    // This one says that it ends, so that its will is void.
    let mut other = Client::connect(broker.port);
    other.say(r#"{"action":"header","stream":"other","message":1}"#);
    other.say(r#"{"action":"will","stream":"other","message":"lost"}"#);
    other.say(r#"{"action":"close"}"#);
    assert_eq!(other.hear()["action"], json!("close"));
    job.hear_all();
    broker.stop();
    let broker = Broker::start_with(&place, 0, &["--config", &settings]);
    let mut listener = Client::connect(broker.port);
    ["job", "other"].iter().for_each(|stream| listener.say(&format!(r#"{{"action":"listen","stream":"{stream}"}}"#)));
    assert_eq!(listener.hear_all().iter().filter(|line| is_put(line)).count(), 2);
    let close = listener.hear();
    assert_eq!((&close["stream"], &close["message"]), (&json!("job"), &json!("lost")));
    listener.say(r#"{"action":"listen","stream":"other","receipt":1}"#);
    assert_eq!(listener.hear_all().iter().find(|line| line["action"] == "receipt").unwrap()["state"], json!("running"));
    broker.stop();
}

/// However long the interval is: who waits for a receipt when the broker stops is given it.
#[test]
fn a_stop_gives_out_durable_receipts_at_once() {
    let place = Place::new("hurry");
    let settings = place.settings("[store]\ninterval = \"1h\"\n");
    let broker = Broker::start_with(&place, 0, &["--config", &settings]);
    let mut job = Client::connect(broker.port);
    // The first save begins at once.
    job.say(r#"{"action":"header","stream":"job","message":1,"receipt":1,"durable":true}"#);
    assert_eq!(job.hear()["receipt"], json!(1));
    job.say(r#"{"action":"header","stream":"job","message":2,"receipt":2,"durable":true}"#);
    job.hear_all();
    broker.stop();
    assert_eq!((job.hear()["receipt"].clone(), job.hear()["message"]["code"].clone()), (json!(2), json!("shutdown")));
}

/// Whoever asks for a durable receipt knows the same of all that took effect before, whoever said it.
// Seen to fail: with receipts that are not durable.
#[test]
fn what_is_durable_is_so_with_all_that_took_effect_before_it() {
    let place = Place::new("before");
    let settings = place.settings("[store]\ninterval = \"500ms\"\n");
    let broker = Broker::start_with(&place, 0, &["--config", &settings]);
    let (mut job, mut other) = (Client::connect(broker.port), Client::connect(broker.port));
    // This is saved at once, and what follows by the next save.
    job.say(r#"{"action":"header","stream":"gone","message":1,"receipt":1,"durable":true}"#);
    assert_eq!(job.hear()["receipt"], json!(1));
    job.say(r#"{"action":"header","stream":"begun","message":1,"receipt":2}"#);
    job.say(r#"{"action":"close","stream":"over","message":"end","receipt":3}"#);
    job.say(r#"{"action":"delete","stream":"gone","receipt":4}"#);
    assert_eq!([job.hear(), job.hear(), job.hear()].map(|line| line["receipt"].clone()), [json!(2), json!(3), json!(4)]);
    // A deletion of what is not there changes nothing.
    other.say(r#"{"action":"delete","stream":"nobody has seen it","receipt":5,"durable":true}"#);
    assert_eq!(other.hear()["receipt"], json!(5));
    broker.kill();
    let broker = Broker::start(&place, 0);
    let mut listener = Client::connect(broker.port);
    let states = ["begun", "over", "gone", "nobody has seen it"].map(|stream| {
        listener.say(&format!(r#"{{"action":"listen","stream":"{stream}","receipt":6}}"#));
        listener.hear_all().iter().find(|line| line["action"] == "receipt").unwrap()["state"].clone()
    });
    assert_eq!(states, [json!("running"), json!("ended"), json!("waiting"), json!("waiting")]);
    broker.stop();
}

#[test]
fn wills_of_those_who_do_not_come_back_take_effect_after_a_crash() {
    let place = Place::new("wills");
    let settings = place.settings("[limits]\nsession_time = \"1s\"\n");
    let broker = Broker::start_with(&place, 0, &["--config", &settings]);
    let mut jobs: Vec<_> = ["a session of one job", "a session of another"]
        .iter()
        .zip(["stays", "lost"])
        .map(|(session, stream)| {
            let mut job = Client::connect(broker.port);
            job.say(&format!(r#"{{"action":"session","session":"{session}"}}"#));
            job.say(&format!(r#"{{"action":"will","stream":"{stream}","message":"lost"}}"#));
            job.say(&format!(r#"{{"action":"header","stream":"{stream}","message":1,"receipt":"h","durable":true}}"#));
            assert_eq!((job.hear()["action"].clone(), job.hear()["receipt"].clone()), (json!("session"), json!("h")));
            job
        })
        .collect();
    broker.kill();
    assert_eq!(jobs.iter_mut().map(Client::try_hear).collect::<Vec<_>>(), [None, None]);
    let broker = Broker::start_with(&place, 0, &["--config", &settings]);
    let began = Instant::now();
    let mut job = Client::connect(broker.port);
    job.say(r#"{"action":"session","session":"a session of one job"}"#);
    assert_eq!(job.hear()["known"], json!(false), "nobody can say how many of its lines were taken");
    let mut listener = Client::connect(broker.port);
    ["stays", "lost"].iter().for_each(|stream| listener.say(&format!(r#"{{"action":"listen","stream":"{stream}"}}"#)));
    listener.hear_all();
    let close = listener.hear();
    assert_eq!((&close["action"], &close["stream"], &close["message"]), (&json!("close"), &json!("lost"), &json!("lost")));
    assert!(began.elapsed() >= Duration::from_millis(900), "it had its time to come back");
    // The other one is still there.
    listener.say(r#"{"action":"listen","stream":"stays","receipt":1}"#);
    assert_eq!(listener.hear_all().iter().find(|line| line["action"] == "receipt").unwrap()["state"], json!("running"));
    broker.stop();
}

/// A run has ended and the next has begun, when the broker is killed: it has kept the end and lost the header behind it. Whoever says that
/// header again is heard, as long as nobody has ended the stream since.
// Seen to fail: it was refused, as if somebody else had ended the stream.
#[test]
fn a_run_that_was_lost_behind_an_end_can_be_begun_again() {
    for ends_again in [false, true] {
        let place = Place::new("begun-again");
        let settings = place.settings("[store]\ninterval = \"1h\"\n");
        let start = || Broker::start_with(&place, 0, &["--config", &settings]);
        let broker = start();
        let mut job = Client::connect(broker.port);
        // The first save begins at once, the next one not before the broker is killed.
        job.say(r#"{"action":"close","stream":"job","message":"first","receipt":1,"durable":true}"#);
        assert_eq!(job.hear()["receipt"], json!(1));
        job.say(r#"{"action":"header","stream":"job","message":"second","receipt":2}"#);
        assert_eq!(job.hear()["receipt"], json!(2));
        broker.kill();
        // An orderly stop changes nothing about that.
        start().stop();
        let broker = start();
        let mut job = Client::connect(broker.port);
        if ends_again {
            job.say(r#"{"action":"close","stream":"job","message":"theirs","receipt":1}"#);
            assert_eq!(job.hear()["action"], json!("receipt"));
        }
        let expected = if ends_again { ["error", "error"] } else { ["receipt", "error"] };
        for answer in expected {
            job.say(r#"{"action":"header","stream":"job","message":"second","if":"absent","receipt":3}"#);
            assert_eq!(job.hear()["action"], json!(answer), "{ends_again}");
        }
        broker.stop();
    }
}
