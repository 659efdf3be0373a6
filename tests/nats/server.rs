//! A NATS server of a test's own.

use std::fs;
use std::future::poll_fn;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::TcpListener;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::thread;

use async_nats::{Client, Subscriber};
use futures_core::Stream;
use msgstream::broker::NodesSettings;
use serde_json::Value;

/// A server, and what it has stored. Both are gone when it is dropped.
pub(crate) struct Server {
    folder: PathBuf,
    port: u16,
    options: Vec<String>,
    process: Option<Child>,
}

impl Server {
    /// None, and a word, if there is no such program.
    pub(crate) fn start() -> Option<Self> {
        Self::with(&[])
    }

    /// With options of its own.
    pub(crate) fn with(options: &[&str]) -> Option<Self> {
        let mut server = Self::stopped(options);
        for _ in 0..20 {
            match server.run() {
                Ok(true) => return Some(server),
                // Somebody else has the port by now.
                Ok(false) => server.port = free_port(),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    eprintln!("skipped: there is no nats-server; install it with \"apt-get install nats-server\"");
                    return None;
                }
                Err(error) => panic!("nats-server: {error}"),
            }
        }
        panic!("nats-server does not start")
    }

    /// Three that belong together.
    pub(crate) fn cluster() -> Option<Vec<Self>> {
        let ports = [free_port(), free_port(), free_port()];
        let routes = ports.map(|port| format!("nats://127.0.0.1:{port}")).join(",");
        let one = |port: &u16| {
            let own = format!("nats://127.0.0.1:{port}");
            Self::with(&["--cluster_name", "lab", "--cluster", &own, "--routes", &routes])
        };
        ports.iter().map(one).collect()
    }

    /// One that does not run yet.
    fn stopped(options: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("msgstream-nats-{}-{:x}", std::process::id(), fastrand::u64(..)));
        fs::create_dir_all(&folder).unwrap();
        Self { folder, port: free_port(), options: options.iter().map(|&option| option.to_owned()).collect(), process: None }
    }

    /// Runs it, until it is ready. False if it ends before.
    fn run(&mut self) -> std::io::Result<bool> {
        let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
        let mut process = Command::new("nats-server")
            .env("PATH", path)
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-js", "-sd"])
            .arg(&self.folder)
            .args(["-n", &self.name()])
            .args(&self.options)
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let is_ready = lines.any(|line| line.contains("Server is ready"));
        thread::spawn(move || lines.for_each(drop));
        self.process = Some(process);
        if !is_ready {
            self.kill();
        }
        Ok(is_ready)
    }

    /// Kills it, whatever it does.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Starts it again, with what it had stored.
    pub(crate) fn restart(&mut self) {
        // For a moment the port may belong to a connection that looks for it.
        assert!((0..100).any(|_| self.run().unwrap()), "nats-server does not start again on port {}", self.port);
    }

    /// A file that is gone with the server.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn name(&self) -> String {
        format!("server-{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn settings(&self) -> NodesSettings {
        NodesSettings::on([self.address()]).space("lab".to_owned())
    }

    /// Asks JetStream for something.
    pub(crate) async fn ask(&self, what: &str, body: &str) -> Value {
        self.try_to_ask(what, body).await.expect(what)
    }

    /// The same, if it answers and does not refuse.
    pub(crate) async fn try_to_ask(&self, what: &str, body: &str) -> Option<Value> {
        let answer = self.client().await.request(format!("$JS.API.{what}"), body.to_owned().into()).await.ok()?;
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        answer.get("error").is_none().then_some(answer)
    }

    /// Which server leads the log, if that is known, and which servers send it to somebody.
    pub(crate) async fn senders(&self) -> (Option<String>, Vec<Option<String>>) {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let info = self.try_to_ask("STREAM.INFO.msgstream-lab", "").await.unwrap_or_default();
        let consumers = self.try_to_ask("CONSUMER.LIST.msgstream-lab", "").await.unwrap_or_default();
        let all = consumers["consumers"].as_array().into_iter().flatten();
        let heard = all.filter(|consumer| consumer["push_bound"] == true).map(|consumer| text(&consumer["cluster"]["leader"]));
        (text(&info["cluster"]["leader"]), heard.collect())
    }

    async fn client(&self) -> Client {
        async_nats::connect(self.address()).await.unwrap()
    }

    /// Sends something to a subject.
    pub(crate) async fn say(&self, subject: &'static str, content: &'static str) {
        let client = self.client().await;
        client.publish(subject, content.into()).await.unwrap();
        client.flush().await.unwrap();
    }

    /// Hears what is sent to a subject, stored or not.
    pub(crate) async fn listen(&self, subject: &'static str) -> Heard {
        let client = self.client().await;
        let messages = client.subscribe(subject).await.unwrap();
        client.flush().await.unwrap();
        // Whatever is answered, the server has served what was sent before.
        assert!(client.request("nobody.listens", "".into()).await.is_err());
        Heard(messages)
    }

    /// Stops it where it is, or lets it go on.
    pub(crate) fn freeze(&self, is_frozen: bool) {
        let process = self.process.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([if is_frozen { "-STOP" } else { "-CONT" }, &process]).status().unwrap().success());
    }
}

/// What is sent to a subject.
pub(crate) struct Heard(Subscriber);

impl Heard {
    pub(crate) async fn next(&mut self) -> Vec<u8> {
        poll_fn(|context| Pin::new(&mut self.0).poll_next(context)).await.unwrap().payload.to_vec()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill();
        }
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// Below those that systems give to whoever asks for any, so that it is free later, too.
fn free_port() -> u16 {
    (0..).map(|_| fastrand::u16(10_000..32_000)).find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok()).unwrap()
}
