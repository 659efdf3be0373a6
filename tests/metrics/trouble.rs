//! What is counted when something goes wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;

use msgstream::broker::{AuthSettings, Policy, Settings};
use msgstream::units::{ByteSize, Span};

use super::broker::{Broker, Client};

/// A listener of `s` that reads no more.
async fn stalled(broker: &Broker) -> Client {
    let mut listener = broker.connect().await;
    listener.say("{\"action\":\"listen\",\"stream\":\"s\"}\n").await;
    listener.ping().await;
    listener
}

/// Settings with which little fits into a socket.
fn narrow() -> Settings {
    let mut settings = Settings::default();
    settings.tcp.send_buffer = ByteSize(8 << 10);
    settings
}

/// A line with so long a message.
fn long(length: usize) -> String {
    format!("{{\"action\":\"put\",\"stream\":\"s\",\"message\":\"{}\"}}\n", "x".repeat(length))
}

/// Publishes much to `s` until a figure is 1.
async fn flood_until(broker: &Broker, figure: &str) {
    let (mut publisher, line) = (broker.connect().await, long(100_000));
    for _ in 0..2000 {
        publisher.say(&line).await;
        publisher.ping().await;
        if broker.figure(figure) == 1.0 {
            return;
        }
    }
    panic!("{figure} is {}", broker.figure(figure));
}

fn cuts(broker: &Broker) -> BTreeMap<String, f64> {
    let figures = broker.figures();
    let cuts = figures.not_zero("msgstream_listeners_cut_total");
    cuts.into_iter().map(|(labels, count)| (labels.to_owned(), count)).collect()
}

fn one(labels: &str) -> BTreeMap<String, f64> {
    BTreeMap::from([(labels.to_owned(), 1.0)])
}

const SLOW: &str = "msgstream_errors_total{code=\"slow_listener\"}";

#[tokio::test]
async fn a_listener_over_its_limit() {
    let mut settings = narrow();
    settings.outbox.limit = ByteSize(1 << 20);
    let broker = Broker::start(&settings);
    let listener = stalled(&broker).await;
    flood_until(&broker, "msgstream_listeners_cut_total{reason=\"outbox_limit\"}").await;
    assert_eq!((cuts(&broker), broker.figure(SLOW)), (one("reason=\"outbox_limit\""), 1.0));
    let queued = broker.figure("msgstream_queue_bytes");
    assert!(queued > 500_000.0 && queued < 3_000_000.0, "{queued}");
    drop(listener);
    broker.until("msgstream_queue_bytes", 0.0).await;
}

#[tokio::test]
async fn a_listener_over_the_limit_of_all() {
    let mut settings = narrow();
    settings.outbox.total = ByteSize(1 << 20);
    let broker = Broker::start(&settings);
    let _listener = stalled(&broker).await;
    flood_until(&broker, "msgstream_listeners_cut_total{reason=\"outbox_total\"}").await;
    assert_eq!((cuts(&broker), broker.figure(SLOW)), (one("reason=\"outbox_total\""), 1.0));
}

#[tokio::test]
async fn a_listener_that_takes_nothing() {
    let mut settings = narrow();
    settings.outbox.write_time = Span(std::time::Duration::from_millis(200));
    let broker = Broker::start(&settings);
    let _listener = stalled(&broker).await;
    let mut publisher = broker.connect().await;
    publisher.say(&long(8 << 20)).await;
    broker.until("msgstream_listeners_cut_total{reason=\"write_time\"}", 1.0).await;
    assert_eq!((cuts(&broker), broker.figure(SLOW)), (one("reason=\"write_time\""), 1.0));
}

#[tokio::test]
async fn a_listener_that_holds_its_publishers_back() {
    let mut settings = narrow();
    settings.outbox.policy = Policy::Throttle;
    settings.outbox.limit = ByteSize(1 << 20);
    settings.outbox.throttle_time = Span(std::time::Duration::from_millis(200));
    let broker = Broker::start(&settings);
    let _listener = stalled(&broker).await;
    let mut publisher = broker.connect().await;
    // It is held back before all of it is taken, and let go when the listener is cut off.
    for _ in 0..200 {
        publisher.say(&long(100_000)).await;
    }
    broker.until("msgstream_listeners_cut_total{reason=\"throttle_time\"}", 1.0).await;
    assert_eq!((cuts(&broker), broker.figure(SLOW)), (one("reason=\"throttle_time\""), 1.0));
}

#[tokio::test]
async fn errors_by_their_code() {
    let mut settings = Settings::default();
    settings.limits.line = ByteSize(10_000);
    settings.limits.header = ByteSize(1000);
    settings.limits.errors_in_a_row = 20;
    let broker = Broker::start(&settings);
    let mut client = broker.connect().await;
    client.ping().await;
    let wrong = |count: usize, line: &str| format!("{line}\n").repeat(count);
    let lines = [
        wrong(2, "{"),
        wrong(3, r#"{"action":"nothing"}"#),
        wrong(1, r#"{"action":"put","message":1}"#),
        wrong(1, r#"{"action":"put","stream":7,"message":1}"#),
        wrong(2, r#"{"action":"put","stream":"s"}"#),
        wrong(1, &"x".repeat(20_000)),
        wrong(1, &format!(r#"{{"action":"header","stream":"s","message":"{}"}}"#, "x".repeat(2000))),
        wrong(2, r#"{"action":"put","stream":"$own","message":1}"#),
        // The core refuses these.
        wrong(3, r#"{"action":"put","stream":"s","message":1,"of":"another"}"#),
    ];
    client.say(&lines.concat()).await;
    client.ping().await;
    let figures = broker.figures();
    let told = figures.not_zero("msgstream_errors_total");
    let expected = [
        ("bad_action", 3.0),
        ("bad_json", 2.0),
        ("bad_stream", 1.0),
        ("denied", 2.0),
        ("limit", 1.0),
        ("line_too_long", 1.0),
        ("missing_message", 2.0),
        ("missing_stream", 1.0),
        ("stale", 3.0),
    ];
    let expected: BTreeMap<_, _> = expected.iter().map(|(code, count)| (format!("code=\"{code}\""), *count)).collect();
    assert_eq!(told.into_iter().map(|(code, count)| (code.to_owned(), count)).collect::<BTreeMap<_, _>>(), expected);
    assert_eq!(figures.get("msgstream_lines_refused_total"), 13.0, "those that are no action; the others were refused as actions");
    assert_eq!(figures.get("msgstream_messages_received_total"), 3.0);
}

#[tokio::test]
async fn ends_by_their_code() {
    let mut settings = Settings::default();
    settings.limits.errors_in_a_row = 3;
    let broker = Broker::start(&settings);
    let mut wrong = broker.connect().await;
    wrong.say("{\n{\n{\n").await;
    assert!(wrong.rest().await.contains("too_many_errors"));
    let mut foreign = broker.connect().await;
    foreign.say("GET / HTTP/1.1\r\n\r\n").await;
    assert!(foreign.rest().await.contains("not_json"));
    let (mut first, mut second) = (broker.connect().await, broker.connect().await);
    for client in [&mut first, &mut second] {
        client.say("{\"action\":\"session\",\"session\":\"0123456789abcdef\"}\n").await;
        client.hear("\"known\"").await;
    }
    assert!(first.rest().await.contains("taken_over"));
    let figures = broker.figures();
    let told: Vec<_> = figures.not_zero("msgstream_errors_total").into_iter().collect();
    assert_eq!(
        told,
        [("code=\"bad_json\"", 3.0), ("code=\"not_json\"", 1.0), ("code=\"taken_over\"", 1.0), ("code=\"too_many_errors\"", 1.0)]
    );
}

#[tokio::test]
async fn resumes_and_wills() {
    let broker = Broker::start(&Settings::default());
    let (mut publisher, mut listener) = (broker.connect().await, broker.connect().await);
    publisher.say("{\"action\":\"put\",\"stream\":\"s\",\"message\":1,\"receipt\":1}\n").await;
    let told = publisher.hear("\"position\":").await + &publisher.hear("}}\n").await;
    let epoch = told.split_once("\"epoch\":\"").unwrap().1.split_once('"').unwrap().0;
    let after = |stream: &str, epoch: &str| {
        format!("{{\"action\":\"listen\",\"stream\":\"{stream}\",\"after\":{{\"epoch\":\"{epoch}\",\"sequence\":0}}}}\n")
    };
    // Without a receipt, too; to one that nobody has seen; to one that has another epoch; and to one of the directory, which counts for none.
    listener.say(&(after("s", epoch) + &after("s", epoch) + &after("new", epoch) + &after("s", "other") + &after("$streams/s", "o"))).await;
    listener.ping().await;
    let figures = broker.figures();
    assert_eq!(figures.get("msgstream_resumes_total{result=\"honoured\"}"), 2.0);
    assert_eq!(figures.get("msgstream_resumes_total{result=\"missed\"}"), 2.0);
    // One is lost, one ends as it should.
    for (stream, end) in [("lost", ""), ("orderly", "{\"action\":\"close\"}\n")] {
        let mut job = broker.connect().await;
        job.say(&format!("{{\"action\":\"will\",\"stream\":\"{stream}\",\"message\":1}}\n")).await;
        job.ping().await;
        job.say(end).await;
        if !end.is_empty() {
            job.rest().await;
        }
    }
    let closed = "msgstream_connections_closed_total{transport=\"tcp\",encoding=\"json\"}";
    broker.until(closed, 2.0).await;
    assert_eq!(broker.figure("msgstream_wills_total"), 1.0);
}

#[tokio::test]
async fn connections_that_there_is_no_room_for() {
    let mut settings = Settings::default();
    settings.limits.connections = 1;
    let broker = Broker::start(&settings);
    let mut first = broker.connect().await;
    first.ping().await;
    for _ in 0..2 {
        assert!(broker.connect().await.rest().await.contains("\"limit\""));
    }
    let figures = broker.figures();
    assert_eq!(figures.get("msgstream_connections_refused_total"), 2.0);
    assert_eq!(figures.get("msgstream_errors_total{code=\"limit\"}"), 2.0);
    assert_eq!(figures.get("msgstream_connections_opened_total{transport=\"tcp\",encoding=\"json\"}"), 1.0);
}

/// A file that is gone with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let file = std::env::temp_dir().join(format!("msgstream-metrics-{name}-{}", std::process::id()));
        std::fs::write(&file, text).unwrap();
        Self(file)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const TOKENS: &str = "[abc]\nunix_user = 1\nlisten = [\"\"]\n";

#[tokio::test]
async fn clients_that_are_not_let_in() {
    let file = File::new("tokens", TOKENS);
    let broker = Broker::start(&Settings::default().auth(AuthSettings::default().tokens(&file.0)));
    let mut silent = broker.connect().await;
    silent.say("{\"action\":\"ping\"}\n").await;
    silent.rest().await;
    // After some of them there is a pause, from which on it depends on the time.
    let (mut failed, mut paused) = (0.0, 0.0);
    for guess in 0..40 {
        let mut client = broker.connect().await;
        client.say(&format!("{{\"action\":\"auth\",\"token\":\"mst_{guess}\"}}\n")).await;
        let told = client.rest().await;
        *if told.contains("auth_failed") { &mut failed } else { &mut paused } += 1.0;
    }
    assert!(failed >= 10.0 && paused >= 1.0, "{failed} {paused}");
    let figures = broker.figures();
    let failures =
        ["required", "failed", "paused"].map(|reason| figures.get(&format!("msgstream_auth_failures_total{{reason=\"{reason}\"}}")));
    assert_eq!(failures, [1.0, failed, paused]);
    let told: Vec<_> = figures.not_zero("msgstream_errors_total").into_iter().collect();
    assert_eq!(told, [("code=\"auth_failed\"", failed), ("code=\"auth_required\"", 1.0), ("code=\"limit\"", paused)]);

    let unusable = || broker.figure("msgstream_reload_failed{files=\"tokens\"}");
    assert_eq!(unusable(), 0.0);
    std::fs::write(&file.0, "[abc\n").unwrap();
    assert!(broker.tokens.as_ref().unwrap().reload().is_err());
    assert_eq!(unusable(), 1.0);
    std::fs::write(&file.0, TOKENS).unwrap();
    assert!(broker.tokens.as_ref().unwrap().reload().is_ok());
    assert_eq!(unusable(), 0.0);
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn handshakes_and_certificates() {
    use msgstream::broker::{MetricsFormat, Server, TlsSettings};

    use super::broker::Figures;
    use super::certificates::Authority;

    let issued = Authority::new().local();
    let (certificate, key) = (File::new("certificate", &issued.certificate), File::new("key", &issued.key));
    let tls = TlsSettings::default().certificate(certificate.0.clone()).key(key.0.clone());
    let server = Server::bind(&["tls://127.0.0.1:0".parse().unwrap()], &Settings::default().tls(tls)).unwrap();
    let (certificates, metrics) = (server.certificates().unwrap(), server.metrics());
    let addresses = vec![server.addresses()[0].to_string().trim_start_matches("tls://").to_owned()];
    tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    let broker = Broker { metrics: metrics.clone(), tokens: None, addresses };
    let mut plain = broker.connect().await;
    plain.say("{\"action\":\"ping\"}\n").await;
    assert!(plain.rest().await.contains("not_json"));
    let figure = |name: &str| Figures::of(&metrics.render(MetricsFormat::Text)).get(name);
    broker.until("msgstream_handshakes_failed_total", 1.0).await;
    assert_eq!(figure("msgstream_errors_total{code=\"not_json\"}"), 1.0);
    assert_eq!(figure("msgstream_reload_failed{files=\"certificates\"}"), 0.0);
    std::fs::write(&key.0, "no key").unwrap();
    assert!(certificates.reload().is_err());
    assert_eq!(figure("msgstream_reload_failed{files=\"certificates\"}"), 1.0);
    std::fs::write(&key.0, &issued.key).unwrap();
    assert!(certificates.reload().is_ok());
    assert_eq!(figure("msgstream_reload_failed{files=\"certificates\"}"), 0.0);
}
