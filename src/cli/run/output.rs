//! What a command writes: to its own terminal as it comes, to the stream as lines.

use std::cell::Cell;
use std::io::Write;
use std::time::Duration;

use msgstream::client::{ClientError, RemoteStream};
use msgstream::monitor::{Log, Message};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// How long the command waits for room in the queue before lines are left out.
const PATIENCE: Duration = Duration::from_secs(1);

/// What one read takes.
const READ: usize = 64 << 10;

/// A longer line is published in pieces.
const LONGEST: usize = 64 << 10;

/// Publishes to one stream without ever stopping the command.
pub(super) struct Publisher {
    remote: RemoteStream,
    stream: String,
    /// The broker takes nothing: no line waits for it any more.
    gone: Cell<bool>,
    left_out: Cell<u64>,
}

impl Publisher {
    pub(super) fn new(remote: RemoteStream, stream: String) -> Self {
        Self { remote, stream, gone: Cell::new(false), left_out: Cell::new(0) }
    }

    /// How many lines were not published.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out.get()
    }

    /// Publishes how the job stands, as a message and as the header.
    pub(super) async fn state(&self, message: &Message, header: &Message) {
        // It has room where lines had none: what cannot be sent now is told at the end.
        let _ = timeout(PATIENCE, self.remote.put_with_header(&self.stream, message, header)).await;
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

/// Passes on everything until the end.
pub(super) async fn pass(from: Option<impl AsyncRead + Unpin>, mut to: impl Write, level: &str, publisher: &Publisher) {
    let Some(mut from) = from else { return };
    let (mut block, mut line) = (Vec::with_capacity(READ), Vec::new());
    loop {
        block.clear();
        match from.read_buf(&mut block).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        // Nobody may be there to read it here, which is no reason to end the job.
        let _ = to.write_all(&block).and_then(|()| to.flush());
        // A progress bar draws over its line: each drawing is one.
        for piece in block.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || piece.ends_with(b"\r") || line.len() >= LONGEST {
                publish(&mut line, level, publisher).await;
            }
        }
    }
    publish(&mut line, level, publisher).await;
}

async fn publish(line: &mut Vec<u8>, level: &str, publisher: &Publisher) {
    let ended = matches!(line.last(), Some(b'\n'));
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\r', '\n']);
    // An empty line says something; nothing between two drawings of a bar does not.
    if !text.is_empty() || (ended && line.len() == 1) {
        publisher.log(text, level).await;
    }
    line.clear();
}
