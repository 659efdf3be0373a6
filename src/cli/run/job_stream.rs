//! What is published of a job, without ever stopping its command.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::client::{ClientError, RemoteStream};
use crate::job::monitor::{Join, Log, Lost, Message, Progress, Start};
use tokio::time::timeout;

use super::occupied;
use super::text::Shown;

/// How long the command waits for room in the queue before lines are left out.
const PATIENCE: Duration = Duration::from_secs(1);

/// Publishes to one stream. What cannot be sent in time is left out, counted, and told in its place.
pub(super) struct JobStream {
    remote: RemoteStream,
    stream: String,
    /// What new listeners get.
    header: RefCell<Join>,
    /// The broker takes nothing: no line waits for it until this much of the queue is free, so that gaps are few.
    gone: Cell<bool>,
    enough: usize,
    left_out: Cell<u64>,
    /// Of these, how many the stream has not been told of.
    untold: Cell<u64>,
}

impl JobStream {
    pub(super) fn new(remote: RemoteStream, stream: String, start: &Start, enough: usize) -> Self {
        let header = Join { title: start.title.clone(), started: start.started.clone(), more: occupied::process(), ..Join::default() };
        let (gone, left_out, untold) = (Cell::new(false), Cell::new(0), Cell::new(0));
        Self { remote, stream, header: RefCell::new(header), gone, enough, left_out, untold }
    }

    /// How many lines were not published.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out.get()
    }

    /// Begins the job, unless one of this name is running: then its header is the error.
    pub(super) async fn claim(&self) -> Result<(), Box<Join>> {
        let header = Message::from(self.header.borrow().clone());
        occupied::claim(&self.remote, &self.stream, &header).await
    }

    /// Publishes that the job begins, and how it ends if this program is killed.
    pub(super) async fn start(&self, start: Start) {
        let header = Message::from(self.header.borrow().clone());
        let mut lost = Lost::new();
        (lost.title, lost.started) = (start.title.clone(), start.started.clone());
        let _ = self.remote.will(&self.stream, &Message::from(lost)).await;
        // The first to be queued always has room; if the connection is lost for good, the end tells.
        let _ = self.remote.put_with_header(&self.stream, &Message::from(start), &header).await;
    }

    /// Publishes the last message, and ends the stream.
    pub(super) async fn end(&self, last: &Message) -> Result<(), ClientError> {
        if self.untold.get() > 0 {
            self.remote.put(&self.stream, &self.gap()).await?;
        }
        self.remote.put_with_header(&self.stream, last, last).await?;
        self.remote.close(&self.stream).await?;
        self.remote.flush().await
    }

    /// Publishes a line.
    pub(super) async fn log(&self, text: String, level: &str) {
        let sent = self.try_log(&text, level).await;
        if !sent {
            self.left_out.set(self.left_out.get() + 1);
            self.untold.set(self.untold.get() + 1);
        }
    }

    /// Publishes a drawing: how far the job is, or else a line. One that cannot be sent is followed by the next.
    pub(super) async fn draw(&self, shown: Shown, level: &str) {
        let Some(figures) = shown.figures else { return self.log(shown.text, level).await };
        let mut progress = Progress::new(figures.k).of(figures.total).text(shown.text);
        progress.units = figures.units.map(str::to_owned);
        let header = {
            let mut header = self.header.borrow_mut();
            (header.k, header.total, header.units) = (Some(progress.k), progress.total, progress.units.clone());
            Message::from(header.clone())
        };
        // Queued at once, or not at all.
        let _ = timeout(Duration::ZERO, self.remote.put_with_header(&self.stream, &Message::from(progress), &header)).await;
    }

    /// Publishes that nothing says any longer how far the job is.
    pub(super) async fn end_bar(&self) {
        let header = {
            let mut header = self.header.borrow_mut();
            (header.k, header.total, header.units) = (None, None, None);
            Message::from(header.clone())
        };
        let _ = timeout(Duration::ZERO, self.remote.put_with_header(&self.stream, &header, &header)).await;
    }

    async fn try_log(&self, text: &str, level: &str) -> bool {
        if self.gone.get() && !self.remote.has_room(self.enough) {
            return false;
        }
        // Nothing comes before the word on what is missing.
        if self.untold.get() > 0 {
            if !self.try_put(&self.gap()).await {
                return false;
            }
            self.untold.set(0);
        }
        self.try_put(&Log::new(text).level(level).into()).await
    }

    /// Waits for room once, and not again before there is enough of it.
    async fn try_put(&self, message: &Message) -> bool {
        let sent = match self.remote.try_put(&self.stream, message) {
            Err(ClientError::Full) => timeout(PATIENCE, self.remote.put(&self.stream, message)).await.is_ok_and(|sent| sent.is_ok()),
            sent => sent.is_ok(),
        };
        self.gone.set(!sent);
        sent
    }

    fn gap(&self) -> Message {
        let lines = match self.untold.get() {
            1 => "1 line was".to_owned(),
            lines => format!("{lines} lines were"),
        };
        Log::new(format!("{lines} left out here: the broker did not take them in time")).level("warning").into()
    }
}
