//! A broker that says what the test wants.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

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
        let line = self.lines(1).await.remove(0);
        let (name, receipt) = line
            .strip_prefix(r#"{"action":"session","session":""#)
            .and_then(|rest| rest.strip_suffix('}')?.split_once(r#"","receipt":"#))
            .unwrap_or_else(|| panic!("no session: {line}"));
        self.say(&format!(
            r#"{{"action":"session","session":"{name}","known":{known},"taken":{taken},"broker":"00000000000000ab","receipt":{receipt}}}"#
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

    /// Answers what a new connection asks: how these streams stand, and their headers.
    pub(crate) async fn answer(&mut self, streams: &[(&str, &str, Option<&str>)]) {
        for (stream, state, header) in streams {
            let asked = self.lines(2).await;
            let receipt = |line: &str| line.split_once("\"receipt\":").unwrap().1.trim_end_matches('}').to_owned();
            assert!(asked[0].starts_with(&format!(r#"{{"action":"listen","stream":"{stream}","#)), "{asked:?}");
            assert!(asked[1].starts_with(&format!(r#"{{"action":"hangup","stream":"{stream}","#)), "{asked:?}");
            if let Some(header) = header {
                self.say(&format!(r#"{{"action":"put","stream":"{stream}","message":{header}}}"#)).await;
            }
            self.say(&format!(r#"{{"action":"receipt","receipt":{},"state":"{state}"}}"#, receipt(&asked[0]))).await;
            self.say(&format!(r#"{{"action":"receipt","receipt":{}}}"#, receipt(&asked[1]))).await;
        }
    }
}
