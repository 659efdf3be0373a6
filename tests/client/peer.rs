//! A broker that says what the test wants.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// The run of each stream that [`Peer::answer`] tells of.
pub(crate) const RUN: &str = "00000000000000aa";

/// The receipt that an action asks for.
pub(crate) fn receipt_in(line: &str) -> String {
    let (_, rest) = line.split_once("\"receipt\":").unwrap_or_else(|| panic!("no receipt: {line}"));
    rest.chars().take_while(char::is_ascii_digit).collect()
}

/// The broker of a test, which says what the test wants.
pub(crate) struct Peer {
    read: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
}

impl Peer {
    pub(crate) async fn accept(peer: &TcpListener) -> Self {
        let (read, write) = peer.accept().await.unwrap().0.into_split();
        Self { read: BufReader::new(read).lines(), write }
    }

    pub(crate) async fn lines(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            lines.push(self.read.next_line().await.unwrap().unwrap());
        }
        lines
    }

    pub(crate) async fn kinds(&mut self, count: usize) -> Vec<String> {
        self.lines(count).await.iter().map(|line| line.split('"').nth(3).unwrap().to_owned()).collect()
    }

    /// Answers the session that a connection begins with; returns its name.
    pub(crate) async fn open(&mut self, known: &str, taken: u64) -> String {
        self.open_in("00000000000000ab", known, taken).await
    }

    /// The same in a life of the broker.
    pub(crate) async fn open_in(&mut self, life: &str, known: &str, taken: u64) -> String {
        let line = self.lines(1).await.remove(0);
        let (name, receipt) = line
            .strip_prefix(r#"{"action":"session","session":""#)
            .and_then(|rest| rest.strip_suffix('}')?.split_once(r#"","receipt":"#))
            .unwrap_or_else(|| panic!("no session: {line}"));
        self.say(&format!(
            r#"{{"action":"session","session":"{name}","known":{known},"taken":{taken},"broker":"{life}","receipt":{receipt}}}"#
        ))
        .await;
        name.to_owned()
    }

    pub(crate) async fn say(&mut self, line: &str) {
        self.write.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// What comes before a line with this in it, except pings.
    pub(crate) async fn sent_before(&mut self, part: &str) -> Vec<String> {
        let mut sent = Vec::new();
        loop {
            let line = self.lines(1).await.remove(0);
            if line.contains(part) {
                return sent;
            }
            sent.extend((!line.contains("\"ping\"")).then_some(line));
        }
    }

    /// Confirms all until the next ping.
    pub(crate) async fn confirm(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.lines(1).await.remove(0);
            if line.contains("\"ping\"") {
                self.say(&line.replace("ping", "pong")).await;
                return lines;
            }
            lines.push(line);
        }
    }

    /// Refuses what a new connection asks: how this stream stands.
    pub(crate) async fn refuse_to_tell(&mut self, stream: &str, code: &str) {
        let asked = self.lines(2).await;
        assert!(asked[0].starts_with(&format!(r#"{{"action":"listen","stream":"{stream}","#)), "{asked:?}");
        let error = format!(r#"{{"action":"error","message":{{"code":"{code}","reason":"you may not"}}"#);
        self.say(&format!(r#"{error},"stream":"{stream}","receipt":{}}}"#, receipt_in(&asked[0]))).await;
        self.say(&format!(r#"{{"action":"receipt","receipt":{}}}"#, receipt_in(&asked[1]))).await;
    }

    /// Takes the headers of these streams, which are set again if nobody has begun the stream by then. Returns their receipts.
    pub(crate) async fn set_again(&mut self, headers: &[(&str, &str)]) -> Vec<String> {
        let mut receipts = Vec::new();
        for (stream, header) in headers {
            let line = self.lines(1).await.remove(0);
            let expected = format!(r#"{{"action":"header","stream":"{stream}","message":{header},"if":"absent","receipt":"#);
            let receipt = line.strip_prefix(&expected).unwrap_or_else(|| panic!("{line} in place of {expected}"));
            receipts.push(receipt.trim_end_matches('}').to_owned());
        }
        receipts
    }

    /// A receipt that tells of the run of a stream.
    pub(crate) async fn receipt_of(&mut self, receipt: &str, run: &str) {
        let position = format!(r#"{{"epoch":"{run}","sequence":0}}"#);
        self.say(&format!(r#"{{"action":"receipt","receipt":{receipt},"position":{position}}}"#)).await;
    }

    /// Refuses an action as stale.
    pub(crate) async fn stale(&mut self, receipt: &str) {
        self.refuse(receipt, "stale").await;
    }

    /// Refuses an action.
    pub(crate) async fn refuse(&mut self, receipt: &str, code: &str) {
        self.say(&format!(r#"{{"action":"error","message":{{"code":"{code}","reason":"not now"}},"receipt":{receipt}}}"#)).await;
    }

    /// Answers what a new connection asks: how these streams stand, and their headers.
    pub(crate) async fn answer(&mut self, streams: &[(&str, &str, Option<&str>)]) {
        for (stream, state, header) in streams {
            let asked = self.lines(2).await;
            assert!(asked[0].starts_with(&format!(r#"{{"action":"listen","stream":"{stream}","#)), "{asked:?}");
            assert!(asked[1].starts_with(&format!(r#"{{"action":"hangup","stream":"{stream}","#)), "{asked:?}");
            if let Some(header) = header {
                self.say(&format!(r#"{{"action":"put","stream":"{stream}","message":{header}}}"#)).await;
            }
            let position = format!(r#""position":{{"epoch":"{RUN}","sequence":0}}"#);
            self.say(&format!(r#"{{"action":"receipt","receipt":{},"state":"{state}",{position}}}"#, receipt_in(&asked[0]))).await;
            self.say(&format!(r#"{{"action":"receipt","receipt":{}}}"#, receipt_in(&asked[1]))).await;
        }
    }
}
