//! A client that speaks HTTP/1.1, and reads answers and events.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::harness::{Broker, PATIENCE, Socket, encryption};

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In small letters, without the first line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body, which is JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The code of the error that it is.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        let body = self.json();
        let error = &body["error"];
        assert!(error["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{body}");
        error["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// One connection.
pub(crate) struct Asking {
    pub(crate) socket: Socket,
    came: Vec<u8>,
    host: String,
}

impl Asking {
    pub(crate) fn new(broker: &Broker) -> Self {
        Self::over(Socket::tcp(broker.http_addr()), broker.http_addr())
    }

    /// With so little room in the kernel that it is soon noticed when it does not read.
    pub(crate) fn with_little_room(broker: &Broker) -> Self {
        Self::over(Socket::tcp_with_little_room(broker.http_addr()), broker.http_addr())
    }

    /// Over TLS.
    pub(crate) fn encrypted(broker: &Broker) -> Self {
        Self::over(Socket::tls(broker.http_addr(), encryption(None)), broker.http_addr())
    }

    /// On this connection to the broker.
    pub(crate) fn of(socket: Socket, broker: &Broker) -> Self {
        Self::over(socket, broker.http_addr())
    }

    /// On this connection to a broker that is known by this name.
    pub(crate) fn over(socket: Socket, host: impl ToString) -> Self {
        socket.set_patience(PATIENCE);
        Self { socket, came: Vec::new(), host: host.to_string() }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).and_then(|()| self.socket.flush()).unwrap();
    }

    /// Sends a request, with further lines of its head.
    pub(crate) fn request(&mut self, request: &str, lines: &[&str], body: &str) {
        let host = if lines.iter().any(|line| line.starts_with("Host:")) { String::new() } else { format!("Host: {}\r\n", self.host) };
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        self.send(format!("{request} HTTP/1.1\r\n{host}{length}{lines}\r\n{body}"));
    }

    /// The head of the next answer.
    pub(crate) fn head(&mut self) -> (u16, String) {
        let end = loop {
            if let Some(end) = memchr::memmem::find(&self.came, b"\r\n\r\n") {
                break end;
            }
            assert!(self.more(), "it ended within a head: {:?}", String::from_utf8_lossy(&self.came));
        };
        let head: Vec<u8> = self.came.drain(..end + 4).collect();
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let lines = head
            .lines()
            .skip(1)
            .map(|line| line.split_once(": ").map_or(line.to_owned(), |(name, value)| format!("{}: {value}", name.to_ascii_lowercase())));
        (status, lines.collect::<Vec<_>>().join("\n"))
    }

    /// The next answer. A body without a length lasts to the end.
    pub(crate) fn answer(&mut self) -> Answer {
        let (status, head) = self.head();
        let mut answer = Answer { status, head, body: Vec::new() };
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk() {
                answer.body.extend_from_slice(&chunk);
            }
        } else if let Some(length) = answer.header("content-length").map(|length| length.parse().unwrap()) {
            while self.came.len() < length {
                assert!(self.more(), "it ended within a body");
            }
            answer.body = self.came.drain(..length).collect();
        } else if status >= 200 && ![204, 304].contains(&status) {
            while self.more() {}
            answer.body = std::mem::take(&mut self.came);
        }
        answer
    }

    /// The next chunk of a body. None behind the last.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let (start, length) = loop {
            if let Some(end) = memchr::memmem::find(&self.came, b"\r\n") {
                let digits = std::str::from_utf8(&self.came[..end]).unwrap();
                let length = usize::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("no length of a chunk: {digits:?}"));
                if self.came.len() >= end + 2 + length + 2 {
                    break (end + 2, length);
                }
            }
            assert!(self.more(), "it ended within a chunk");
        };
        let chunk: Vec<u8> = self.came.drain(..start + length + 2).skip(start).collect();
        let data = chunk.strip_suffix(b"\r\n").expect("an end of the chunk");
        (length > 0).then(|| data.to_vec())
    }

    /// Asks once, and returns what is answered.
    pub(crate) fn ask(&mut self, request: &str, lines: &[&str], body: &str) -> Answer {
        self.request(request, lines, body);
        if request.starts_with("HEAD ") {
            let (status, head) = self.head();
            return Answer { status, head, body: Vec::new() };
        }
        self.answer()
    }

    /// Reads what there is. False at the end.
    pub(crate) fn more(&mut self) -> bool {
        let mut block = [0; 64 << 10];
        let count = self.socket.read(&mut block).expect("it is answered");
        self.came.extend_from_slice(&block[..count]);
        count > 0
    }

    /// Nothing more comes but the end.
    #[track_caller]
    pub(crate) fn expect_eof(&mut self) {
        assert!(self.came.is_empty() && !self.more(), "{:?}", String::from_utf8_lossy(&self.came));
    }
}

/// Asks on a connection of its own.
pub(crate) fn ask(broker: &Broker, request: &str, lines: &[&str], body: &str) -> Answer {
    Asking::new(broker).ask(request, lines, body)
}

/// Sends these bytes on a connection of its own, and returns all that comes.
pub(crate) fn send(broker: &Broker, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(broker.http_addr()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(bytes).unwrap();
    let mut all = Vec::new();
    socket.read_to_end(&mut all).unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its name; that of a message is empty.
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

impl Event {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

/// A listener to events.
pub(crate) struct Listener {
    pub(crate) asking: Asking,
    text: Vec<u8>,
    /// The last id that was told.
    pub(crate) last: Option<String>,
}

impl Listener {
    /// Asks for the events of this path, from an id on.
    pub(crate) fn new(broker: &Broker, path: &str, after: Option<&str>) -> Self {
        Self::on(Asking::new(broker), path, after)
    }

    /// The same on this connection.
    #[track_caller]
    pub(crate) fn on(mut asking: Asking, path: &str, after: Option<&str>) -> Self {
        let after = after.map(|id| format!("Last-Event-ID: {id}"));
        asking.request(&format!("GET {path}"), after.as_deref().as_slice(), "");
        let (status, head) = asking.head();
        assert_eq!(status, 200, "{head}");
        assert!(head.contains("content-type: text/event-stream\n"), "{head}");
        Self { asking, text: Vec::new(), last: None }
    }

    /// The next event. None at the end.
    pub(crate) fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.text, b"\n\n") {
                let event: Vec<u8> = self.text.drain(..end + 2).collect();
                if let Some(event) = self.read(std::str::from_utf8(&event).unwrap()) {
                    return Some(event);
                }
                continue;
            }
            let chunk = self.asking.chunk();
            if chunk.is_none() {
                assert!(self.text.is_empty(), "it ended within an event");
            }
            self.text.extend_from_slice(&chunk?);
        }
    }

    fn read(&mut self, text: &str) -> Option<Event> {
        let (mut event, mut data) = (Event::default(), Vec::new());
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with(':')) {
            match line.split_once(": ").unwrap() {
                ("event", name) => name.clone_into(&mut event.name),
                ("id", id) => event.id = Some(id.to_owned()),
                ("data", line) => data.push(line),
                _ => panic!("{line}"),
            }
        }
        self.last = event.id.clone().or(self.last.take());
        event.data = data.join("\n");
        (!data.is_empty()).then_some(event)
    }

    /// The next event, which has this name.
    #[track_caller]
    pub(crate) fn expect(&mut self, name: &str) -> Event {
        let event = self.next().expect("an event");
        assert_eq!(event.name, name, "{event:?}");
        event
    }

    /// All that comes, in short.
    pub(crate) fn rest(&mut self) -> Vec<(String, String)> {
        std::iter::from_fn(|| self.next()).map(|event| (event.name, event.data)).collect()
    }
}
