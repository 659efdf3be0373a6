//! What a command writes: to its own terminal as it comes, to the stream as a person reads it.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::job_stream::JobStream;
use super::text::{Drawings, Lines, Said};

/// What one read takes.
const READ: usize = 64 << 10;

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
    let mut block = Vec::with_capacity(READ);
    let mut publisher = Publisher { lines: Lines::new(), drawings: Drawings::default(), said: Vec::new(), level, job };
    loop {
        block.clear();
        // What a pipe holds when it is cut is still the command's, and one read takes all of it.
        let last = cut.is_cancelled();
        let due = publisher.due(Instant::now());
        let read = tokio::select! {
            biased;
            read = from.read_buf(&mut block) => read,
            () = cut.cancelled() => break,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                publisher.silence(Instant::now()).await;
                continue;
            }
        };
        match read {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        // The standard output may be closed, which is no reason to end the job.
        if to.write_all(&block).await.is_ok() {
            let _ = to.flush().await;
        }
        publisher.take(&block, Instant::now()).await;
        if last {
            break;
        }
    }
    publisher.end(Instant::now()).await;
}

/// Publishes the lines and drawings of one output.
struct Publisher<'a> {
    lines: Lines,
    drawings: Drawings,
    said: Vec<Said>,
    level: &'a str,
    job: &'a JobStream,
}

impl Publisher<'_> {
    /// When there is something to do though nothing was written.
    fn due(&self, now: Instant) -> Option<Instant> {
        self.lines.due().into_iter().chain(self.drawings.due(now)).chain(self.drawings.gone()).min()
    }

    async fn take(&mut self, bytes: &[u8], now: Instant) {
        self.lines.take(bytes, now, &mut self.said);
        self.publish(now).await;
    }

    async fn silence(&mut self, now: Instant) {
        if self.lines.due().is_some_and(|due| due <= now) {
            self.lines.silence(&mut self.said);
        }
        self.publish(now).await;
    }

    async fn end(&mut self, now: Instant) {
        self.lines.end(&mut self.said);
        self.publish(now).await;
        self.draw(now).await;
    }

    async fn publish(&mut self, now: Instant) {
        for said in std::mem::take(&mut self.said) {
            match said {
                Said::Line(text) => {
                    // In the order in which they were written.
                    self.draw(now).await;
                    self.drawings.line(&text);
                    self.job.log(text, self.level).await;
                }
                Said::Drawing { row, text, is_finished, is_new } => {
                    if self.drawings.ends_bar(row, &text, now) {
                        self.draw(now).await;
                    }
                    let stays = is_finished && !self.drawings.is_bar(&text);
                    self.drawings.draw(row, text, is_new);
                    if stays || self.drawings.due(now).is_some_and(|due| due <= now) {
                        self.draw(now).await;
                    }
                }
            }
        }
        if self.drawings.due(now).is_some_and(|due| due <= now) {
            self.draw(now).await;
        }
        if self.drawings.take_gone(now) {
            self.job.end_bar().await;
        }
    }

    /// Publishes the drawings as they stand.
    async fn draw(&mut self, now: Instant) {
        if let Some(shown) = self.drawings.publish(now) {
            self.job.draw(shown, self.level).await;
        }
    }
}
