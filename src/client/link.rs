//! The way from a handle to the connection: lines are made, wait for room, and are queued.

use std::sync::Arc;

use serde::Serialize;
use tokio::task::JoinHandle;

use crate::job::content::NonFinite;
use crate::wire::{Repeated, Verb};

use super::address::ByteStream;
use super::error::ClientError;
use super::gathered::Gathered;
use super::inbox::Inbox;
use super::options::Options;
use super::request::{Condition, Request, alone, header_line};
use super::resume::{Change, Mark};
use super::shared::Shared;
use super::state::{Answer, Line, State};
use super::task::{Served, run};

/// Keeps the connection for as long as a handle or a listener lives.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.lock().leaving = true;
        self.shared.work.notify_one();
    }
}

impl Link {
    pub(super) fn start(shared: Arc<Shared>, connected: Option<Box<dyn ByteStream>>) -> Arc<Self> {
        let task = tokio::spawn(run(Served(Arc::clone(&shared)), connected));
        Arc::new(Self { shared, task })
    }

    pub(super) fn hang_up(&self, stream: &str, inbox: &Arc<Inbox>) {
        if self.shared.lock().leave(stream, inbox) {
            self.shared.work.notify_one();
        }
    }

    pub(super) fn leave_prefix(&self, gathered: &Arc<Gathered>) {
        if self.shared.lock().leave_prefix(gathered) {
            self.shared.work.notify_one();
        }
    }

    /// Why there is no answer.
    pub(super) fn lost(&self) -> ClientError {
        self.shared.lock().failure().unwrap_or_else(|| ClientError::Lost("the runtime has ended".to_owned()))
    }

    /// Wakes the task if it waits for something to write.
    pub(super) fn tell_if(&self, first: bool) {
        if first {
            self.shared.work.notify_one();
        }
    }

    /// An action as a line, with a receipt if somebody waits for the answer.
    pub(super) fn line<M, H>(&self, request: Request<'_, M, H>, answer: Option<Answer>) -> Result<Line, ClientError>
    where
        M: Serialize + ?Sized,
        H: Serialize + ?Sized,
    {
        let Request { action, stream, message, header, condition, durable: is_durable, .. } = request;
        let stream = stream.unwrap_or_default();
        named(stream)?;
        let Options { non_finite, reconnect, .. } = &self.shared.options;
        let answer = answer.map(|answer| (self.shared.lock().next_receipt(), answer));
        let mut bytes = Vec::with_capacity(128);
        let receipt = answer.as_ref().map(|(receipt, _)| *receipt);
        Request { receipt, ..request }.write(*non_finite, &mut bytes)?;
        // The end of the line does not count.
        let (bytes_sent, limit) = (bytes.len() - 1, self.shared.options.longest_action);
        if bytes_sent > limit.0 {
            return Err(ClientError::TooLong { bytes: bytes_sent, limit });
        }
        let change = if reconnect.is_some() { change(action, stream, message, header, *non_finite)? } else { None };
        let is_conditional = condition != Condition::None;
        let change = change.map(|change| Mark { stream: stream.to_owned(), change, receipt, is_conditional, added: None });
        Ok(Line { bytes, answer, change, is_action: true, is_durable })
    }

    /// Queues a will, once there is room for it.
    pub(super) async fn will<M: Serialize + ?Sized>(&self, stream: &str, message: Option<&M>) -> Result<(), ClientError> {
        let mut bytes = Some(self.line(Request { message, ..alone::<M, ()>(Verb::Will, stream) }, None)?.bytes);
        let length = bytes.as_ref().map_or(0, Vec::len);
        let has_message = message.is_some();
        let first = self.with_room(length, |state| bytes.take().is_some_and(|bytes| state.will(stream, bytes, has_message))).await?;
        self.tell_if(first);
        Ok(())
    }

    /// Queues an action, once there is room for it.
    pub(super) async fn queue<M, H>(&self, action: Verb, stream: &str, message: Option<&M>, header: Option<&H>) -> Result<(), ClientError>
    where
        M: Serialize + ?Sized,
        H: Serialize + ?Sized,
    {
        let line = self.line(Request { message, header, ..alone(action, stream) }, None)?;
        self.send(line).await
    }

    /// Queues a line, once there is room for it.
    pub(super) async fn send(&self, line: Line) -> Result<(), ClientError> {
        let mut line = Some(line);
        let bytes = line.as_ref().map_or(0, |line| line.bytes.len());
        let first = self.with_room(bytes, |state| line.take().is_some_and(|line| state.send(line))).await?;
        self.tell_if(first);
        Ok(())
    }

    /// Acts once there is room for this many bytes.
    pub(super) async fn with_room<T>(&self, bytes: usize, act: impl FnOnce(&mut State) -> T) -> Result<T, ClientError> {
        let limit = self.shared.options.queue.0;
        loop {
            // Created before the check, so that room made in between is not missed.
            let room = self.shared.room.notified();
            {
                let mut state = self.shared.lock();
                if let Some(failure) = state.failure() {
                    return Err(failure);
                }
                if bytes == 0 || state.has_room(bytes, limit) {
                    return Ok(act(&mut state));
                }
            }
            room.await;
        }
    }
}

/// A stream needs a name.
pub(super) fn named(stream: &str) -> Result<(), ClientError> {
    if stream.is_empty() { Err(ClientError::EmptyName) } else { Ok(()) }
}

/// What an action does to its stream, if that matters to a later connection.
fn change<M, H>(
    action: Verb,
    stream: &str,
    message: Option<&M>,
    header: Option<&H>,
    non_finite: NonFinite,
) -> Result<Option<Change>, ClientError>
where
    M: Serialize + ?Sized,
    H: Serialize + ?Sized,
{
    Ok(match (action.rule().repeated, header) {
        (Repeated::Stays, _) | (Repeated::Header, None) => None,
        (Repeated::Message, _) => Some(Change::Header(header_line(stream, message, non_finite)?.into())),
        (Repeated::Header, Some(header)) => Some(Change::Header(header_line(stream, Some(header), non_finite)?.into())),
        (Repeated::Nothing, _) if action == Verb::Delete => Some(Change::Delete),
        (Repeated::Nothing, _) => Some(Change::Close),
    })
}
