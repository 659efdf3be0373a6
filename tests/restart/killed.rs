//! A broker that is killed under load, again and again, at any moment.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::broker::{Broker, Client, Place};

const KILLS: usize = 200;
const STREAMS: u64 = 30;

/// A header that has taken effect is older than the interval at most, when the broker is killed before it is saved. On a machine that has
/// much else to do a save takes its time; so only what is far too old is an error.
const FAR_TOO_LONG: Duration = Duration::from_secs(20);

/// What one stream was told, by the numbers of its headers, which only grow.
#[derive(Debug, Default, Clone)]
struct Told {
    /// The last number that was sent, ...
    sent: u64,
    /// ... the last that was answered as done, and when each was, ...
    done: Vec<(u64, Instant)>,
    /// ... and the last that was answered as durable.
    durable: u64,
    /// The numbers that were deletions.
    deletions: Vec<u64>,
}

impl Told {
    /// Whether a stream may stand so after the broker was killed: with the header of a number, or as one that is deleted.
    fn check(&self, name: &str, found: Option<u64>, killed_at: Instant) {
        match found {
            Some(found) => {
                assert!(found <= self.sent, "{name} has header {found}, and only {} were sent", self.sent);
                assert!(found >= self.durable, "{name} has header {found}, and {} was said to be durable", self.durable);
                assert!(!self.deletions.contains(&found), "{name} has the header of a deletion");
            }
            // Deleted last, at some time since what is durable, or never made durable.
            None => assert!(
                self.durable == 0 || self.deletions.iter().any(|deletion| *deletion >= self.durable),
                "{name} is lost, and {} was said to be durable",
                self.durable
            ),
        }
        let found = found.unwrap_or(0);
        let newer = self.done.iter().find(|(number, _)| *number > found && !self.deletions.contains(number));
        if let Some((number, done_at)) = newer.filter(|_| found > 0) {
            let age = killed_at.duration_since(*done_at);
            assert!(age < FAR_TOO_LONG, "{name} has header {found}, and {number} had been there for {age:?}");
        }
    }
}

/// Sends headers until the broker is gone: some with receipts that say that they are durable, some deletions.
fn publish(mut client: Client, told: &Arc<Mutex<BTreeMap<String, Told>>>, seed: u64, stop: &Arc<AtomicBool>) {
    let mut say = client.clone_to_say();
    let (sent, stopped) = (Arc::clone(told), Arc::clone(stop));
    let writer = thread::spawn(move || {
        let mut random = fastrand::Rng::with_seed(seed);
        while !stopped.load(Ordering::Relaxed) {
            // Each stream has one publisher, so that its numbers only grow.
            let name = format!("job-{}", 2 * random.u64(..STREAMS / 2) + seed % 2);
            let (number, is_deletion) = {
                let mut all = sent.lock().unwrap();
                let told = all.entry(name.clone()).or_default();
                told.sent += 1;
                let is_deletion = random.u32(..20) == 0;
                if is_deletion {
                    told.deletions.push(told.sent);
                }
                (told.sent, is_deletion)
            };
            let durable = if random.u32(..4) == 0 { r#","durable":true"# } else { "" };
            let what = if is_deletion { r#""delete""# } else { r#""header""# };
            let filler = "x".repeat(random.usize(..800));
            let line = format!(
                r#"{{"action":{what},"stream":"{name}","message":{{"n":{number},"filler":"{filler}"}},"receipt":"{name} {number}{}"{durable}}}"#,
                if durable.is_empty() { "" } else { " durable" }
            );
            if say.write_all(format!("{line}\n").as_bytes()).is_err() {
                return;
            }
        }
    });
    while let Some(line) = client.try_hear() {
        let Some(receipt) = line["receipt"].as_str().map(str::to_owned) else { continue };
        assert_eq!(line["action"], "receipt", "{line}");
        let mut words = receipt.split(' ');
        let (name, number) = (words.next().unwrap(), words.next().unwrap().parse::<u64>().unwrap());
        let mut all = told.lock().unwrap();
        let told = all.get_mut(name).unwrap();
        told.done.push((number, Instant::now()));
        if words.next() == Some("durable") {
            told.durable = told.durable.max(number);
        }
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
}

/// The headers of all streams that there are.
fn headers(port: u16) -> BTreeMap<String, u64> {
    let mut client = Client::connect(port);
    client.say(r#"{"action":"listen","prefix":"","receipt":"all"}"#);
    let mut found = BTreeMap::new();
    loop {
        let line = client.hear();
        match line["action"].as_str().unwrap() {
            "put" => drop(found.insert(line["stream"].as_str().unwrap().to_owned(), line["message"]["n"].as_u64().unwrap())),
            "joined" => assert_eq!(line["state"], Value::from("running"), "{line}"),
            "receipt" => return found,
            _ => panic!("{line}"),
        }
    }
}

#[test]
fn after_each_of_two_hundred_kills_headers_are_as_they_were_within_the_interval() {
    let place = Place::new("killed");
    let mut random = fastrand::Rng::with_seed(16);
    let told = Arc::new(Mutex::new(BTreeMap::<String, Told>::new()));
    let mut killed_at = Instant::now();
    for round in 0..=KILLS {
        let broker = Broker::start(&place, 0);
        let found = headers(broker.port);
        let mut all = told.lock().unwrap();
        for name in found.keys() {
            assert!(all.contains_key(name), "{name} was never sent");
        }
        for (name, told) in all.iter_mut() {
            let number = found.get(name).copied();
            told.check(&format!("in round {round} {name}"), number, killed_at);
            // What was found is what there is from here on. Nothing of it was said to be durable in this life; it is, since it was found.
            told.durable = number.unwrap_or(0);
            told.done.clear();
            told.deletions.clear();
        }
        drop(all);
        if round == KILLS {
            assert!(!found.is_empty(), "nothing was ever saved");
            broker.stop();
            return;
        }
        let publishers: Vec<_> = (0..2)
            .map(|number| {
                // Connected before the broker may be killed.
                let (client, told, stop) = (Client::connect(broker.port), Arc::clone(&told), Arc::new(AtomicBool::new(false)));
                let seed = 2 * round as u64 + number;
                thread::spawn(move || publish(client, &told, seed, &stop))
            })
            .collect();
        thread::sleep(Duration::from_millis(random.u64(..350)));
        killed_at = Instant::now();
        broker.kill();
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    }
}
