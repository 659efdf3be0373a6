//! What the actor of a node does beside: it hears the log, and has what clients want go there first.

use crate::broker::core::{Budget, Input};
use crate::broker::space::Told;
use crate::wire::ErrorCode;
use crate::wire::ids::ConnectionId;
use crate::wire::refusal::CUT_OFF;

use super::agenda::Awaits;
use super::applying::Applying;
use super::sharing::{Asked, Next, Reading, Replay, StateWork};
use super::{Actor, Work};

impl Actor {
    /// What is told by whatever keeps the log.
    pub(super) fn hear(&mut self, told: Told) {
        let Some(sharing) = &mut self.sharing else { return };
        if let Next::Read(reading) = sharing.hear(told, &mut self.core, &self.settings.ids) {
            self.agenda.add(sharing.flow, Work::Read(reading));
        }
    }

    /// Has one that comes look for another node, if this one has not heard the others for long.
    pub(super) fn turn_away(&mut self, id: ConnectionId) {
        if self.sharing.as_mut().is_some_and(|sharing| sharing.turns_away(id)) {
            self.routes.expel(id, ErrorCode::Shutdown, CUT_OFF);
        }
    }

    /// Takes out of a batch what has to go into the log.
    pub(super) fn ask(&mut self, order: ConnectionId, batch: &mut Applying, budget: &mut Budget) -> Asked {
        let Some(sharing) = &mut self.sharing else { return Asked::Here };
        let from = batch.from();
        if self.core.is_fenced(from) {
            return Asked::Here;
        }
        // Before it is in the log: from there on it is on its way to all who listen.
        if from == order && self.quiescing.is_none() && self.routes.has_full() {
            let listeners = match batch.peek() {
                Some(Input::Put { stream, .. }) => self.core.listeners(stream),
                _ => &[],
            };
            if self.routes.hold_back(from, listeners, budget) {
                return Asked::Here;
            }
        }
        sharing.ask(order, batch, &mut self.core)
    }

    /// Goes on with what a record says. True if it is done.
    pub(super) fn read(&mut self, reading: &mut Reading, budget: &mut Budget) -> bool {
        let Some(sharing) = &mut self.sharing else { return true };
        let (core, routes, ids) = (&mut self.core, &mut self.routes, &*self.settings.ids);
        let done = Replay { core, routes, sharing, ids }.go_on(reading, budget);
        for order in sharing.take_resumed() {
            self.agenda.resume(order, Awaits::Log);
        }
        done
    }

    /// Has the state written down behind the records that are there, if it is time.
    pub(super) fn look_at_state(&mut self) {
        if let Some(sharing) = self.sharing.as_mut().filter(|sharing| sharing.is_to_keep()) {
            sharing.begin_to_keep();
            self.agenda.add(sharing.flow, Work::Keep(Box::default()));
        }
    }

    /// Goes on with writing the state down. True if it is done.
    pub(super) fn keep_state(&mut self, state: &mut StateWork, budget: &mut Budget) -> bool {
        let Some(sharing) = &mut self.sharing else { return true };
        let done = sharing.write(state, &self.core, budget);
        if done {
            sharing.keep(std::mem::take(state));
        }
        done
    }
}
