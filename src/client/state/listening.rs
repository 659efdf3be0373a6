//! Who listens to which stream.

use std::sync::Arc;

use crate::client::inbox::Inbox;
use crate::client::request;
use crate::client::resume::Kind;
use crate::client::target::Target;
use crate::job::content::Content;
use crate::wire::subscriber::{Back, Joined, Listened, Reason, Seat, Take};
use crate::wire::{Start, StreamState, Verb};

use super::State;
use super::followed::hung_up;

impl State {
    /// Queues a listen action for this listener.
    pub(in crate::client) fn listen(&mut self, stream: &str, start: Start, inbox: Arc<Inbox>) -> bool {
        self.join(stream, start, vec![Target::Named(inbox)])
    }

    pub(super) fn join(&mut self, stream: &str, start: Start, targets: Vec<Target>) -> bool {
        let receipt = self.next_receipt();
        self.joins.insert(receipt, stream.to_owned());
        let latest = start.latest && !self.prefixes.want_each(stream);
        let followed = self.streams.entry(stream.to_owned()).or_default();
        followed.named = true;
        let line = request::listen_line(stream, Start { latest: followed.listened.wants(latest), ..start }, receipt);
        followed.listened.join(receipt, start, targets);
        self.append_part(&line, Kind::Own)
    }

    /// Queues a listen action for those who were connected before, with where they were.
    pub(super) fn listen_again(&mut self, stream: &str, back: Back, seats: Vec<Seat<Target>>, latest: bool) {
        let receipt = self.next_receipt();
        self.joins.insert(receipt, stream.to_owned());
        let followed = self.streams.entry(stream.to_owned()).or_default();
        followed.named = true;
        let start = Start { latest: followed.listened.wants(latest), ..Start::default().after(back.position) };
        let line = request::listen_line(stream, start, receipt);
        followed.listened.join_again(receipt, seats, back);
        self.append_part(&line, Kind::Own);
    }

    /// A listener is gone; with the last one the stream is hung up.
    pub(in crate::client) fn leave(&mut self, stream: &str, inbox: &Arc<Inbox>) -> bool {
        let Some(followed) = self.streams.get_mut(stream) else { return false };
        followed.listened.leave(|target| matches!(target, Target::Named(other) if Arc::ptr_eq(other, inbox)));
        self.hang_up_if_unnamed(stream)
    }

    /// Hangs up: all listeners of this stream on this connection are told, but for those who listen to a prefix.
    pub(in crate::client) fn hang_up(&mut self, stream: &str) -> bool {
        let Some(followed) = self.streams.get_mut(stream) else { return false };
        let last = hung_up();
        followed.listened.leave(|target| {
            target.is_named() && {
                target.take(last.clone());
                true
            }
        });
        self.hang_up_if_unnamed(stream)
    }

    /// Tells the listeners of a stream something.
    pub(super) fn tell(&mut self, stream: &str, act: impl FnOnce(&mut Listened<Target>)) {
        let Some(followed) = self.streams.get_mut(stream) else { return };
        act(&mut followed.listened);
        let is_listened = if followed.named { followed.listened.all().any(Target::is_named) } else { !followed.listened.is_empty() };
        if !is_listened {
            self.hang_up_if_unnamed(stream);
        }
        self.leave_prefixes_that_are_over();
    }

    /// A message has come, or a header that a stream was joined with. Nobody can tell before what comes next has come.
    pub(super) fn put(&mut self, stream: String, content: Content) {
        if self.may_be_announced(&stream) {
            self.prefixes.hold(stream, content);
        } else {
            self.deliver(&stream, content);
        }
    }

    /// Gives what was put to a stream to its listeners.
    pub(super) fn deliver(&mut self, stream: &str, content: Content) {
        let mut has_moved = false;
        self.tell(stream, |listened| {
            // While somebody joins it may be a header, which brings nobody further.
            has_moved = !listened.is_joining();
            listened.put(content);
        });
        self.has_moved |= has_moved;
    }

    /// A stream has ended.
    pub(super) fn closed(&mut self, stream: &str, message: Option<Content>) {
        let Some(followed) = self.streams.get_mut(stream) else { return };
        self.prefixes.note_end(stream, &followed.listened);
        followed.listened.close(message);
        self.forget_if_empty(stream);
        self.leave_prefixes_that_are_over();
    }

    /// The answer to a listen action has come.
    pub(super) fn joined(&mut self, stream: &str, receipt: u64, joined: Joined) {
        if let Some(followed) = self.streams.get_mut(stream) {
            followed.listened.joined(receipt, joined);
        }
        if joined.state == StreamState::Ended {
            self.forget_if_empty(stream);
        } else {
            self.hang_up_if_unnamed(stream);
        }
        self.leave_prefixes_that_are_over();
    }

    /// A listen action was refused.
    pub(super) fn listen_refused(&mut self, stream: &str, receipt: u64, reason: &Reason) {
        if let Some(followed) = self.streams.get_mut(stream) {
            followed.listened.refused(receipt, reason);
        }
        self.forget_if_empty(stream);
    }

    /// The answer to a hangup of streams has come. False if it is no such answer.
    pub(super) fn hung_up(&mut self, receipt: u64) -> bool {
        let before = self.hanging_up.len();
        self.hanging_up.retain(|_, hangup| *hangup != receipt);
        self.hanging_up.len() < before
    }

    /// The connection listens to the stream by its name no longer, unless somebody is about to.
    pub(super) fn forget_if_empty(&mut self, stream: &str) {
        let Some(followed) = self.streams.get_mut(stream) else { return };
        followed.named = followed.listened.all().any(Target::is_named);
        if followed.is_over() {
            self.streams.remove(stream);
        }
    }

    /// Hangs the stream up if nobody listens to it by its name any more.
    fn hang_up_if_unnamed(&mut self, stream: &str) -> bool {
        let Some(followed) = self.streams.get_mut(stream) else { return false };
        let was_named = followed.named;
        self.forget_if_empty(stream);
        let followed = self.streams.get(stream);
        if !was_named || followed.is_some_and(|followed| followed.named) {
            return false;
        }
        let is_nobodys = followed.is_none_or(|followed| followed.listened.is_empty());
        let receipt = self.next_receipt();
        // What comes until it is answered is nobody's, unless it comes by a prefix.
        if is_nobodys && !self.prefixes.match_any(stream) {
            self.hanging_up.insert(stream.to_owned(), receipt);
        }
        self.append_own(Verb::Hangup, stream, Some(receipt))
    }
}
