//! What a command writes: to its own terminal as it comes, to the stream as lines.

use std::cell::Cell;
use std::time::Duration;

use crate::client::{ClientError, RemoteStream};
use crate::job::monitor::{Log, Message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long the command waits for room in the queue before lines are left out.
const PATIENCE: Duration = Duration::from_secs(1);

/// What one read takes.
const READ: usize = 64 << 10;

/// A longer line is published in pieces.
const LONGEST: usize = 64 << 10;

/// Publishes to one stream without ever stopping the command.
pub(super) struct JobStream {
    remote: RemoteStream,
    stream: String,
    /// The broker takes nothing: no line waits for it any more.
    gone: Cell<bool>,
    left_out: Cell<u64>,
}

impl JobStream {
    pub(super) fn new(remote: RemoteStream, stream: String) -> Self {
        Self { remote, stream, gone: Cell::new(false), left_out: Cell::new(0) }
    }

    /// How many lines were not published.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out.get()
    }

    /// Publishes that the job begins, as a message and as the header.
    pub(super) async fn start(&self, start: &Message) {
        // The first to be queued always has room; if the connection is lost for good, the end tells.
        let _ = self.remote.put_with_header(&self.stream, start, start).await;
    }

    async fn log(&self, text: &str, level: &str) {
        let log = Message::from(Log::new(text).level(level));
        match self.remote.try_put(&self.stream, &log) {
            Err(ClientError::Full) if !self.gone.get() => {
                let sent = timeout(PATIENCE, self.remote.put(&self.stream, &log)).await;
                self.gone.set(sent.is_err());
                self.count(sent.is_ok_and(|sent| sent.is_ok()));
            }
            sent => {
                self.gone.set(self.gone.get() && sent.is_err());
                self.count(sent.is_ok());
            }
        }
    }

    fn count(&self, sent: bool) {
        self.left_out.set(self.left_out.get() + u64::from(!sent));
    }
}

/// Passes on everything until the end, or until it is cut.
///
/// If nobody reads the standard output, the command blocks as it would without us; signals still reach it.
pub(super) async fn pass(
    from: Option<impl AsyncRead + Unpin>,
    mut to: impl AsyncWrite + Unpin,
    level: &str,
    job: &JobStream,
    cut: &CancellationToken,
) {
    let Some(mut from) = from else { return };
    let (mut block, mut line) = (Vec::with_capacity(READ), Vec::new());
    loop {
        block.clear();
        // What a pipe holds when it is cut is still the command's, and one read takes all of it.
        let last = cut.is_cancelled();
        let read = tokio::select! {
            biased;
            read = from.read_buf(&mut block) => read,
            () = cut.cancelled() => break,
        };
        match read {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        // The standard output may be closed, which is no reason to end the job.
        if to.write_all(&block).await.is_ok() {
            let _ = to.flush().await;
        }
        // A progress bar draws over its line: each drawing is one.
        for piece in block.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || piece.ends_with(b"\r") || line.len() >= LONGEST {
                let rest = unfinished(&mut line);
                publish(&mut line, level, job).await;
                line.extend_from_slice(&rest);
            }
        }
        if last {
            break;
        }
    }
    publish(&mut line, level, job).await;
}

/// Takes the beginning of a character off the end of a piece: the next one has the rest of it.
fn unfinished(line: &mut Vec<u8>) -> Vec<u8> {
    let start = line.len().saturating_sub(3);
    let tail = line.get(start..).unwrap_or_default();
    // From the last byte that begins a character of several bytes.
    let begun = tail.iter().rposition(|byte| *byte >= 0xc0);
    let is_begun =
        |at: &usize| tail.get(*at..).is_some_and(|tail| std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none()));
    begun.filter(is_begun).map(|at| line.split_off(start + at)).unwrap_or_default()
}

async fn publish(line: &mut Vec<u8>, level: &str, job: &JobStream) {
    let ended = matches!(line.last(), Some(b'\n'));
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\r', '\n']);
    // An empty line says something; nothing between two drawings of a bar does not.
    if !text.is_empty() || (ended && line.len() == 1) {
        job.log(text, level).await;
    }
    line.clear();
}
