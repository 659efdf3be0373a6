//! How streams end and are forgotten at somebody's wish, and how their listeners are told.

use crate::wire::ids::StreamName;
use crate::wire::{Epoch, Frame};

use super::budget::{Budget, HANG_UP, PUSH};
use super::directory;
use super::input::Deliver;
use super::machine::{Core, Refused};
use super::stream::{ENDED, Ended, LISTENER, millis};

impl Core {
    /// Ends a stream, even one that is new: a job may end before anybody listens, and later listeners are told.
    pub(super) fn close(
        &mut self,
        name: &StreamName,
        last: Frame,
        of: Option<Epoch>,
        budget: &mut Budget,
        deliver: &mut impl Deliver,
    ) -> Result<usize, Refused> {
        self.check_epoch(name, of, false)?;
        self.forget_if_over(name);
        let is_known = self.is_there(name);
        self.room_for_stream(name, is_known)?;
        if !is_known {
            self.room_to_keep(name, is_known, ENDED)?;
        }
        self.take_back_will(name);
        let reached = self.dismiss(name, &last, budget, deliver);
        // The last end counts, but it has ended since the first.
        let again = self.take_back_end(name);
        // The end of a known stream is never refused for lack of room: then it is kept without its message.
        let now = self.now;
        let run = &mut self.stream(name).stream.run;
        run.is_old = false;
        if !again {
            run.since = millis(now);
        }
        let room = self.has_room(Some(name), ENDED + last.cost());
        let forget_at = self.now + self.limits.ended_time;
        let ended = Ended { forget_at, last: room.then_some(last) };
        self.keep_end(name, ended);
        self.note_change(name);
        if !is_known {
            self.announce(name, budget, deliver);
        }
        Ok(reached)
    }

    pub(super) fn delete(
        &mut self,
        name: &StreamName,
        last: &Frame,
        of: Option<Epoch>,
        budget: &mut Budget,
        deliver: &mut impl Deliver,
    ) -> Result<usize, Refused> {
        self.check_epoch(name, of, false)?;
        self.take_back_will(name);
        let reached = self.dismiss(name, last, budget, deliver);
        self.remove(name);
        Ok(reached)
    }

    /// Tells every listener that the stream has ended, and lets it go.
    pub(super) fn dismiss(&mut self, name: &StreamName, last: &Frame, budget: &mut Budget, deliver: &mut impl Deliver) -> usize {
        let Some(stream) = self.streams.get_mut(name) else { return 0 };
        let listeners = std::mem::take(&mut stream.listeners);
        let mut reached = stream.run.elsewhere();
        stream.run.latest = 0;
        stream.run.by_prefix = 0;
        budget.spend((PUSH + HANG_UP) * listeners.len());
        self.stored -= LISTENER * listeners.len();
        self.tally.listeners -= listeners.len();
        self.directory.note(name);
        self.note_listeners(name);
        self.unwatch(if directory::is_entry(name) { listeners.len() } else { 0 });
        for listener in listeners {
            reached += usize::from(deliver.frame(listener, last));
            self.connections[listener.index()].remove(name);
        }
        reached
    }
}
