//! From the log into the core: what a record says is done, step by step, as on all other nodes.

use std::collections::VecDeque;
use std::time::Duration;

use crate::broker::actor::mailbox::Ids;
use crate::broker::actor::routes::Routes;
use crate::broker::core::{Budget, Core, Input, Refusal, sending};
use crate::broker::rows::{Fault, Row};
use crate::broker::space::{Envelope, Join, Member, Op, RecordId, Standing};
use crate::wire::ErrorCode;
use crate::wire::ids::ConnectionId;

use super::entry::Entry;
use super::node::Sharing;

const GONE: &str =
    "the other nodes have heard nothing of this one for longer than nodes.lease, so what it took and had not stored is lost; connect again";

/// A record that is being read.
pub(in crate::broker::actor) struct Reading {
    sequence: u64,
    at: Duration,
    record: Vec<u8>,
    /// What waits for it here, if it is one of this node.
    own: Option<VecDeque<Entry>>,
    stage: Stage,
    id: RecordId,
    /// What is left of it.
    content: Vec<u8>,
    done: usize,
    /// Nodes that are gone by it.
    departing: VecDeque<Departing>,
    /// What was begun.
    begun: Option<(ConnectionId, Input)>,
}

#[derive(Clone, Copy)]
enum Stage {
    New,
    Departing,
    Losing,
    Doing,
}

/// A node that is gone.
struct Departing {
    life: u64,
    member: Member,
    why: &'static str,
}

impl Reading {
    pub(in crate::broker::actor) fn new(sequence: u64, at: Duration, record: Vec<u8>, own: Option<VecDeque<Entry>>) -> Self {
        let (content, departing) = (Vec::new(), VecDeque::new());
        let (stage, id) = (Stage::New, RecordId::default());
        Self { sequence, at, record, own, stage, id, content, done: 0, departing, begun: None }
    }
}

/// What a record is read with.
pub(in crate::broker::actor) struct Replay<'a> {
    pub(in crate::broker::actor) core: &'a mut Core,
    pub(in crate::broker::actor) routes: &'a mut Routes,
    pub(in crate::broker::actor) sharing: &'a mut Sharing,
    pub(in crate::broker::actor) ids: &'a Ids,
}

impl Replay<'_> {
    /// Goes on as far as the budget goes. True if the record is done.
    pub(in crate::broker::actor) fn go_on(&mut self, reading: &mut Reading, budget: &mut Budget) -> bool {
        self.routes.nobody_begins();
        self.core.enter_log();
        let done = self.try_to_go_on(reading, budget);
        self.routes.end();
        self.routes.all_listen_to_less();
        self.core.leave_log();
        done.unwrap_or_else(|fault| {
            // All nodes leave it out alike. One that cannot be read must not end them all, and each again when it starts.
            let sequence = reading.sequence;
            tracing::error!(sequence, %fault, "a record of the log cannot be read, and the rest of it is left out: this is a bug, please report it");
            self.end(reading);
            true
        })
    }

    fn try_to_go_on(&mut self, reading: &mut Reading, budget: &mut Budget) -> Result<bool, Fault> {
        loop {
            match reading.stage {
                Stage::New => {
                    self.begin(reading)?;
                    reading.stage = Stage::Departing;
                }
                Stage::Departing => {
                    if !self.depart(reading, budget) {
                        return Ok(false);
                    }
                    reading.stage = Stage::Losing;
                }
                Stage::Losing => {
                    self.core.lose_sessions(budget, self.routes);
                    if self.core.has_lost_session() {
                        return Ok(false);
                    }
                    reading.stage = Stage::Doing;
                }
                Stage::Doing => {
                    if !self.next(reading, budget)? {
                        self.end(reading);
                        return Ok(true);
                    }
                }
            }
            budget.spend(sending(self.routes.take_sending()));
            if budget.is_spent() {
                return Ok(false);
            }
        }
    }

    /// Moves the clock on, and finds out whose record it is and what it says.
    fn begin(&mut self, reading: &mut Reading) -> Result<(), Fault> {
        let record = std::mem::take(&mut reading.record);
        let Ok((envelope, content)) = Envelope::read(&record) else {
            let sequence = reading.sequence;
            self.sharing.over =
                Some(format!("the record {sequence} of the log is of another version of the program; use the newest on all nodes"));
            return Ok(());
        };
        let sharing = &mut *self.sharing;
        let is_first = sharing.clock.began.is_none();
        let late = sharing.clock.advance(reading.at);
        if is_first {
            self.core.set_beginning(sharing.clock.began.unwrap_or_default());
        }
        self.core.begin_record(reading.sequence, sharing.clock.now);
        self.core.forgive(late);
        sharing.keeping.read(record.len());
        for life in sharing.members.silent(&sharing.clock, sharing.lease) {
            self.take_out(life, "lost", reading);
        }
        let sharing = &mut *self.sharing;
        reading.id = envelope.id;
        match sharing.members.standing(envelope.id) {
            Standing::Next => {}
            Standing::First => match Op::read(&mut Row::new(content))? {
                Op::Join(join) => self.come(envelope.id, &join, reading),
                _ => return Ok(()),
            },
            Standing::Void => return Ok(()),
            Standing::Torn => {
                self.tell_torn(reading);
                return Ok(());
            }
        }
        let now = self.sharing.clock.patient();
        let Some(member) = self.sharing.members.get_mut(envelope.id.life) else { return Ok(()) };
        (member.number, member.seen) = (envelope.id.number, now);
        if envelope.goes_on || !member.begun.is_empty() {
            member.begun.extend(content);
            reading.content = if envelope.goes_on { Vec::new() } else { std::mem::take(&mut member.begun) };
        } else {
            // Most are whole: nothing of them is copied.
            (reading.done, reading.content) = (record.len() - content.len(), record);
        }
        Ok(())
    }

    /// The log lacks what another node has read in it, so that NATS has lost it, or its servers do not agree. Whoever goes on is not at one with
    /// the others. One that only begins can do nothing about it: for all that begin, that node is gone until it comes again.
    fn tell_torn(&mut self, reading: &mut Reading) {
        let name = self.sharing.members.get(reading.id.life).map_or("", |member| &member.name);
        let why = format!("NATS has lost records of the node {name:?} before the record {} of the log", reading.sequence);
        if self.sharing.heard.is_none() {
            tracing::error!(why, "what that node says is left out until it comes again");
            self.take_out(reading.id.life, "lost", reading);
        } else if self.sharing.over.is_none() {
            self.sharing.over = Some(format!("{why}, which it has read; start this node again, and check the NATS servers"));
        }
    }

    /// A node has come.
    fn come(&mut self, id: RecordId, Join { name, limits, lease }: &Join, reading: &mut Reading) {
        if let Some(former) = self.sharing.members.named(name) {
            self.take_out(former, "replaced", reading);
            if former == self.sharing.life && !self.sharing.is_leaving {
                self.sharing.over =
                    Some(format!("another node has come that is called {name:?} too; give each node a name of its own (nodes.name)"));
            }
        }
        let sharing = &mut *self.sharing;
        (sharing.limits, sharing.lease) = (limits.clone(), *lease);
        self.core.set_shared_limits(limits);
        let since = sharing.clock.now;
        if id.life == sharing.life {
            // What there is to say of it is said at once.
            sharing.next_tick = tokio::time::Instant::now();
        }
        sharing.members.insert(id.life, Member { name: name.clone(), since, ..Member::default() });
        sharing.contact.count(sharing.members.iter().count());
        tracing::info!(node = %name, "a node has come");
        self.tell_node(id.life);
    }

    fn take_out(&mut self, life: u64, why: &'static str, reading: &mut Reading) {
        if let Some(member) = self.sharing.members.remove(life, self.sharing.clock.now) {
            tracing::info!(node = %member.name, why, "a node is gone");
            self.sharing.contact.count(self.sharing.members.iter().count());
            self.core.begin_departing();
            reading.departing.push_back(Departing { life, member, why });
        }
    }

    /// Has the clients of nodes depart that are gone. False if the budget was spent before that.
    fn depart(&mut self, reading: &mut Reading, budget: &mut Budget) -> bool {
        while let Some(Departing { life, member, why }) = reading.departing.front_mut() {
            let is_own = *life == self.sharing.life;
            while let Some((connection, id)) = member.clients.pop_first() {
                if !self.core.depart(id, budget) {
                    member.clients.insert(connection, id);
                    return false;
                }
                if !is_own {
                    self.ids.give_back(id);
                }
            }
            for stream in std::mem::take(&mut member.counts).into_keys() {
                let elsewhere = self.sharing.members.elsewhere(&stream, self.sharing.life);
                self.core.set_elsewhere(&stream, elsewhere);
            }
            let (name, why) = (std::mem::take(&mut member.name), *why);
            self.tell_gone(&name, why);
            reading.departing.pop_front();
            // One that another has replaced ends.
            if is_own && !self.sharing.is_leaving && self.sharing.over.is_none() {
                self.begin_again();
            }
        }
        true
    }

    /// For the others this node was gone. What it has taken and not stored is lost, and those who said it are told.
    fn begin_again(&mut self) {
        let given_up = self.sharing.outgoing.give_up().into_iter();
        let (waiting, lost): (VecDeque<_>, _) = given_up.partition(|entry| matches!(entry, Entry::Done(_)));
        self.lose(lost);
        for id in std::mem::take(&mut self.sharing.clients).into_keys() {
            self.cut(id);
        }
        tracing::warn!("the other nodes had given this one up (nodes.lease); its publishers have to connect again");
        self.sharing.begin_life();
        self.sharing.introduce();
        // Who waits for what has been said meanwhile waits for that still.
        waiting.into_iter().for_each(|entry| self.sharing.outgoing.push(entry));
        // Nor do they know any more who listens here.
        self.core.count_again();
    }

    fn lose(&mut self, entries: VecDeque<Entry>) {
        for entry in entries {
            if let Entry::Done(order) = entry {
                self.sharing.resumed.push(order);
            } else if let Some(id) = entry.of() {
                self.cut(id);
            }
        }
    }

    fn cut(&mut self, id: ConnectionId) {
        if self.sharing.cut.insert(id) {
            self.routes.expel(id, ErrorCode::Shutdown, GONE);
        }
    }

    /// Does the next thing. False if there is none.
    fn next(&mut self, reading: &mut Reading, budget: &mut Budget) -> Result<bool, Fault> {
        if let Some((from, input)) = reading.begun.take() {
            self.act(from, input, reading, budget);
            return Ok(true);
        }
        if self.sharing.members.get(reading.id.life).is_none() {
            // It came too late, or stands behind the node's last word.
            if let Some(lost) = reading.own.take() {
                self.lose(lost);
            }
            return Ok(false);
        }
        if reading.own.is_some() {
            return Ok(self.next_own(reading, budget));
        }
        let mut row = Row::new(reading.content.get(reading.done..).unwrap_or_default());
        if row.is_empty() {
            return Ok(false);
        }
        let op = Op::read(&mut row)?;
        reading.done = reading.content.len() - row.left();
        self.step(None, op, reading, budget);
        Ok(true)
    }

    fn next_own(&mut self, reading: &mut Reading, budget: &mut Budget) -> bool {
        match reading.own.as_mut().and_then(VecDeque::pop_front) {
            None => return false,
            Some(Entry::Step(from, op)) => self.step(from, op, reading, budget),
            // Its stream was made elsewhere meanwhile, and somebody may listen to it there.
            Some(Entry::Aside(from, input)) if matches!(&input, Input::Put { stream, .. } if self.core.is_common(stream)) => {
                // There may be thousands, each of which is told.
                for input in Core::apart(input).into_iter().rev() {
                    reading.own.get_or_insert_default().push_front(Entry::Refused(from, input, Refusal::no_room()));
                }
            }
            Some(Entry::Aside(from, input)) => {
                self.routes.turn_to(from);
                self.core.leave_log();
                // It reaches nobody, so that all of it is done at once.
                let mut left = Some(input);
                while let Some(input) = left {
                    left = self.core.handle(from, input, budget, self.routes);
                }
            }
            Some(Entry::Refused(from, input, refusal)) => {
                self.routes.turn_to(from);
                self.core.refuse(from, &input, &refusal, self.routes);
            }
            Some(Entry::Done(order)) => self.sharing.resumed.push(order),
            Some(Entry::Tick(said)) => self.sharing.hear_tick(said),
        }
        true
    }

    /// Does one step. `from` is whose it is, if it is one of this node's.
    fn step(&mut self, from: Option<ConnectionId>, op: Op, reading: &mut Reading, budget: &mut Budget) {
        self.core.next_step();
        budget.spend(crate::broker::core::INPUT);
        let life = reading.id.life;
        match op {
            Op::Client(connection, input) => {
                let makes = matches!(input, Input::Session { .. } | Input::Will { last: Some(_), .. });
                let id = self.resolve(life, connection, from, makes);
                self.act(id, input, reading, budget);
            }
            Op::Lines(connection, lines) => {
                let id = self.resolve(life, Some(connection), from, false);
                if !self.core.is_fenced(id) {
                    self.core.taken(id, lines);
                }
            }
            Op::Touch(stream) => self.core.touch(&stream, budget, self.routes),
            Op::Join(_) => {}
            Op::Limits(limits) => {
                self.core.set_shared_limits(&limits);
                self.sharing.limits = limits;
            }
            Op::Stop => {
                self.take_out(life, "stopped", reading);
                reading.stage = Stage::Departing;
            }
            Op::Counts(counts) => self.count(life, counts),
            Op::Status(status) => {
                if let Some(member) = self.sharing.members.get_mut(life) {
                    member.status = *status;
                }
                self.tell_node(life);
            }
            Op::Kept(cut) => self.sharing.keeping.kept(cut),
        }
    }

    fn count(&mut self, life: u64, counts: Vec<(crate::wire::ids::StreamName, u32)>) {
        for (stream, count) in counts {
            let Some(member) = self.sharing.members.get_mut(life) else { return };
            if count == 0 {
                member.counts.remove(&stream);
            } else {
                member.counts.insert(stream.clone(), count);
            }
            let elsewhere = self.sharing.members.elsewhere(&stream, self.sharing.life);
            self.core.set_elsewhere(&stream, elsewhere);
        }
    }

    /// What a connection is called here. Those that have a session or a will have a name of their own.
    fn resolve(&mut self, life: u64, connection: Option<u32>, from: Option<ConnectionId>, makes: bool) -> ConnectionId {
        let nobody = from.unwrap_or(self.sharing.flow);
        let Some((connection, member)) = connection.zip(self.sharing.members.get_mut(life)) else { return nobody };
        match member.clients.get(&connection) {
            Some(id) => *id,
            None if makes => *member.clients.entry(connection).or_insert_with(|| from.unwrap_or_else(|| self.ids.take())),
            None => nobody,
        }
    }

    /// Does what a client wants.
    fn act(&mut self, from: ConnectionId, input: Input, reading: &mut Reading, budget: &mut Budget) {
        if self.core.is_fenced(from) {
            // It goes on with another connection.
            if matches!(input, Input::Leave { .. }) {
                self.release(from, reading);
            }
            return;
        }
        self.routes.turn_to(from);
        let (lines, messages) = (input.lines(), input.messages());
        let leaves = matches!(input, Input::Leave { .. });
        let left = self.core.handle(from, input, budget, self.routes);
        let (lines_left, messages_left) = left.as_ref().map_or((0, 0), |left| (left.lines(), left.messages()));
        self.core.taken(from, lines - lines_left);
        if reading.own.is_some() {
            self.routes.note_messages(messages - messages_left);
        }
        match left {
            Some(left) => reading.begun = Some((from, left)),
            None if leaves => self.release(from, reading),
            None => {}
        }
    }

    /// A connection has ended, and is not known by a name any more.
    fn release(&mut self, id: ConnectionId, reading: &Reading) {
        let mut unused = Budget::unlimited();
        // A fenced one has nothing, but is remembered as that.
        self.core.depart(id, &mut unused);
        let Some(member) = self.sharing.members.get_mut(reading.id.life) else { return };
        let number = member.clients.iter().find(|(_, other)| **other == id).map(|(number, _)| *number);
        if let Some(number) = number {
            member.clients.remove(&number);
            if reading.own.is_none() {
                self.ids.give_back(id);
            } else {
                self.sharing.clients.remove(&id);
            }
        }
    }

    fn end(&mut self, reading: &mut Reading) {
        if let Some(lost) = reading.own.take().filter(|entries| !entries.is_empty()) {
            self.lose(lost);
        }
        self.sharing.port.taken(reading.sequence);
        self.sharing.keeping.done(reading.sequence);
    }
}
