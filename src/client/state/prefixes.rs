//! Who listens to prefixes, and how their listeners join the streams.
//!
//! The listener of a prefix sits among the listeners of each of its streams, so that positions, headers and what a lost connection leaves
//! behind are the same for all. What is different is how it gets there: by the broker's word that a stream was joined, which nobody has asked
//! for and which comes behind the header. So a message that may be such a header waits for the next line, which tells.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::client::gathered::Gathered;
use crate::client::request;
use crate::client::resume::Kind;
use crate::client::target::Target;
use crate::job::content::Content;
use crate::wire::ids::{Prefix, StreamName};
use crate::wire::subscriber::{Back, Event, From, Joined, Reason, Reply, Seat, Take};
use crate::wire::{Position, Positions, Start, Starts, StreamState, Verb};

use super::State;
use super::followed::{Followed, hung_up};
use super::members::{Ends, Known, Member, Prefixes, Returning, UnderWay};

/// Why messages may be missing of a stream at which a listener was to go on.
const FORGOTTEN: &str = "the broker has forgotten the stream in which this listener was to go on";

/// As many of the last messages as there are.
const ALL: u64 = (1 << 53) - 1;

impl State {
    /// Queues the listen of a prefix.
    pub(in crate::client) fn listen_prefix(&mut self, prefix: &str, starts: Starts, gathered: Arc<Gathered>) -> bool {
        let first = self.out.bytes.is_empty();
        let prefix = Prefix::new(prefix);
        if !gathered.is_latest() {
            self.want_each(&prefix);
        }
        let is_meant = |name: &str| StreamName::new(name).is_ok_and(|name| prefix.matches(&name));
        let after = starts.after.iter().flat_map(Positions::iter).filter(|(name, _)| is_meant(name));
        let after = after.map(|(name, position)| (Arc::from(name), position)).collect();
        let member = Member { prefix, gathered, waits_for: None, after, last: starts.last, comes_back: None, ends: Ends::default() };
        self.prefixes.members.push(member);
        let last = self.prefixes.members.len() - 1;
        self.listen_as(last, &Known::new());
        first
    }

    /// Those who have named a stream and want its newest message only listen to each message from now on, since the broker does not tell
    /// them apart from the listeners of a prefix.
    fn want_each(&mut self, prefix: &Prefix) {
        let is_meant = |name: &String| StreamName::new(name).is_ok_and(|name| prefix.matches(&name));
        let replaced = self.streams.iter().filter(|(name, followed)| followed.named && followed.listened.is_latest() && is_meant(name));
        let mut names: Vec<String> = replaced.map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        for name in names {
            self.join(&name, Start::default(), Vec::new());
        }
    }

    /// Queues the listen of one listener, which says where it was in streams that it has listened to before. Returns its receipt.
    fn append_listen_prefix(&mut self, index: usize, known: &Known) -> u64 {
        let receipt = self.next_receipt();
        self.prefixes.latest += 1;
        let listen = Some(self.prefixes.latest);
        let Some(member) = self.prefixes.members.get(index) else { return receipt };
        let mut after: BTreeMap<&str, Position> = member.after.iter().map(|(name, position)| (&**name, *position)).collect();
        after.extend(member.ends.positions.iter().map(|(name, position)| (&**name, *position)));
        // Others may be elsewhere in it, or be nowhere yet.
        let own = known.iter().filter(|(_, (_, targets))| targets.iter().any(|target| target.is_by(&member.gathered)));
        after.extend(own.map(|(name, (position, _))| (name.as_str(), *position)));
        let (last, latest, longest) = (member.last, self.prefixes.may_replace(member), self.prefixes.longest);
        let line = request::listen_prefix_line(member.prefix.as_str(), after.into_iter(), last, latest, receipt, longest);
        self.prefixes.under_way.push_back(UnderWay { receipt, prefix: member.prefix.clone(), listen });
        self.append_part(&line, Kind::Own);
        receipt
    }

    /// Has all listeners of prefixes join again. `known` is where they were.
    pub(super) fn join_prefixes_again(&mut self, known: &Known, reason: &str, may_resume: bool) {
        self.prefixes.under_way.clear();
        for index in 0..self.prefixes.members.len() {
            let Some(member) = self.prefixes.members.get_mut(index) else { continue };
            if member.waits_for.is_none() {
                // What has come into being meanwhile is new to it, and it wants all of that.
                member.comes_back = Some(reason.to_owned());
                member.last = Some(ALL);
            }
            if !may_resume && member.comes_back.is_some() {
                member.last = None;
            }
            self.listen_as(index, known);
        }
    }

    /// Queues the listen of a listener that joins by it.
    fn listen_as(&mut self, index: usize, known: &Known) {
        let receipt = self.append_listen_prefix(index, known);
        if let Some(member) = self.prefixes.members.get_mut(index) {
            member.waits_for = Some(receipt);
        }
    }

    /// Asks which streams there are still, by listening again from where the connection is: the broker forgets those without a header
    /// without a word, and so nothing else would make this client forget them.
    fn ask_what_is_left(&mut self) {
        let here = |followed: &Followed| Some((followed.listened.position()?, followed.listened.all().cloned().collect()));
        let known: Known = self.streams.iter().filter_map(|(name, followed)| Some((name.clone(), here(followed)?))).collect();
        let mut asked: Vec<Prefix> = Vec::new();
        for index in 0..self.prefixes.members.len() {
            let Some(Member { prefix, .. }) = self.prefixes.members.get(index) else { continue };
            if !asked.contains(prefix) {
                asked.push(prefix.clone());
                self.append_listen_prefix(index, &known);
            }
        }
        self.prefixes.unsure = 0;
    }

    /// A listen of a prefix has come to its end: the streams that it has not joined are no more.
    fn forget_unseen(&mut self, prefix: &Prefix, listen: u64) {
        let is_gone = |name: &str, followed: &Followed| {
            !followed.named
                && !followed.listened.is_joining()
                && followed.seen < listen
                && StreamName::new(name).is_ok_and(|name| prefix.matches(&name))
        };
        self.streams.retain(|name, followed| {
            if !is_gone(name, followed) {
                return true;
            }
            for target in followed.listened.all() {
                if let Target::ByPrefix(gathered, stream) = target {
                    gathered.forget(stream);
                }
            }
            false
        });
        self.prefixes.sure = self.streams.values().filter(|followed| !followed.stays).count();
    }

    /// Those who listened to a stream by a prefix when the connection was lost wait for the word that it was joined again.
    pub(super) fn return_to(&mut self, stream: String, back: Option<Back>, seats: Vec<Seat<Target>>) {
        if !seats.is_empty() {
            let returning = self.prefixes.returning.entry(stream).or_insert_with(|| Returning { back: None, seats: Vec::new() });
            returning.back = back;
            returning.seats.extend(seats);
        }
    }

    /// Those who waited for that word when another connection was lost go on waiting. Adds where they were.
    pub(super) fn return_again(&mut self, known: &mut Known, may_resume: bool) {
        for (stream, returning) in &mut self.prefixes.returning {
            match &returning.back {
                Some(back) if may_resume => {
                    known.insert(stream.clone(), (back.position, returning.seats.iter().map(|seat| seat.listener().clone()).collect()));
                }
                Some(Back { reason, .. }) => {
                    let gap = Event::Reconnected { reason: reason.clone(), missed: None };
                    returning.seats.retain(|seat| seat.listener().take(gap.clone()));
                    returning.back = None;
                }
                None => {}
            }
        }
    }

    /// Delivers what was held back, now that the next line has come. Returns that, unless it told that a header was held back.
    pub(super) fn look_back(&mut self, reply: Reply) -> Option<Reply> {
        let Some((held, content)) = self.prefixes.held.take() else { return Some(reply) };
        self.prefixes.has_asked = false;
        match reply {
            // One that resumes gets no header, and a stream without one has none.
            Reply::Joined { stream, answer } if stream == held && answer.joined().has_header => {
                self.announced(&stream, Some(content), answer.joined());
                None
            }
            reply => {
                self.deliver(&held, content);
                Some(reply)
            }
        }
    }

    /// Whether what was put to a stream may be the header that comes before the word that it was joined.
    pub(super) fn may_be_announced(&self, stream: &str) -> bool {
        let Prefixes { members, under_way, .. } = &self.prefixes;
        if members.is_empty() && under_way.is_empty() {
            return false;
        }
        // A stream without a header that nobody has named may have been forgotten without a word.
        let may_be_new =
            self.streams.get(stream).is_none_or(|followed| !followed.stays && (!followed.named || followed.listened.is_joining()));
        if !may_be_new && under_way.is_empty() {
            // So it is with most messages, of which no name is made.
            return false;
        }
        let Ok(name) = StreamName::new(stream) else { return false };
        // Also if nobody waits any more for that listen.
        if under_way.iter().any(|under_way| under_way.prefix.matches(&name)) {
            return true;
        }
        may_be_new && members.iter().any(|member| member.prefix.matches(&name))
    }

    /// All that has been read was taken. If a message is held back for the next line, and none is sure to come, the broker is asked for one.
    pub(in crate::client) fn all_taken(&mut self) {
        let Some((stream, _)) = &self.prefixes.held else { return };
        let is_message = self.streams.get(stream).is_some_and(|followed| !followed.listened.is_empty());
        if is_message && !std::mem::replace(&mut self.prefixes.has_asked, true) {
            self.ping();
        }
    }

    /// A stream was joined, behind its header if it has one.
    pub(super) fn announced(&mut self, stream: &str, header: Option<Content>, joined: Joined) {
        let Ok(name) = StreamName::new(stream) else { return };
        let (listening, text): (_, Arc<str>) = (self.prefixes.listening(), stream.into());
        let returning = self.prefixes.returning.remove(stream);
        let mut followed = self.streams.remove(stream).unwrap_or_default();
        let epoch = |position: Option<Position>| position.map(|position| position.epoch);
        if epoch(followed.listened.position()) != epoch(joined.position) {
            // It was forgotten without a word, and comes anew.
            followed.listened.leave(|target| !target.is_named());
        }
        let mut newcomers = Vec::new();
        let mut is_back = Vec::new();
        if let Some(Returning { back, seats }) = returning {
            let from = back.map_or_else(|| From::Start(Start::default()), From::Back);
            for seat in seats {
                is_back.push(seat.listener().clone());
                newcomers.push((seat, from.clone()));
            }
        }
        for member in self.prefixes.members.iter_mut().filter(|member| member.prefix.matches(&name) && member.may_join(listening)) {
            let is_here = followed.listened.all().chain(&is_back).any(|target| target.is_by(&member.gathered));
            let has_had_end = joined.position.is_some() && epoch(member.ends.positions.get(stream).copied()) == epoch(joined.position);
            if is_here || has_had_end {
                continue;
            }
            newcomers.push((Seat::new(Target::ByPrefix(Arc::clone(&member.gathered), Arc::clone(&text))), member.begins(stream)));
        }
        let latest = followed.listened.all().chain(newcomers.iter().map(|(seat, _)| seat.listener())).all(|target| match target {
            Target::Named(_) => followed.listened.is_latest(),
            Target::ByPrefix(gathered, _) => gathered.is_latest(),
        });
        followed.listened.wants(latest);
        followed.stays = joined.state == StreamState::Running;
        followed.seen = self.prefixes.latest;
        self.prefixes.unsure += usize::from(!followed.stays && !newcomers.is_empty());
        followed.listened.announced(newcomers, header, joined);
        if !followed.is_over() {
            self.streams.insert(stream.to_owned(), followed);
        }
        self.leave_prefixes_that_are_over();
        if self.prefixes.is_unsure() {
            self.ask_what_is_left();
        }
    }

    /// A stream was not joined that a prefix matches. Only what nobody listens to can be meant.
    pub(super) fn not_joined(&mut self, stream: &str, reason: &Reason) {
        if reason.code != "limit"
            || self.streams.get(stream).is_some_and(|followed| !followed.listened.is_empty())
            || !self.prefixes.match_any(stream)
        {
            return;
        }
        let (listening, text): (_, Arc<str>) = (self.prefixes.listening(), stream.into());
        self.prefixes.returning.remove(stream);
        let Ok(name) = StreamName::new(stream) else { return };
        for member in self.prefixes.members.iter_mut().filter(|member| member.prefix.matches(&name) && member.may_join(listening)) {
            member.after.remove(stream);
            member.gathered.push(&text, Event::CutOff(reason.clone()));
        }
        self.leave_prefixes_that_are_over();
    }

    /// A listen or a hangup of a prefix has taken effect. False if it is the answer to something else.
    pub(super) fn prefix_answered(&mut self, receipt: u64, streams: Option<usize>) -> bool {
        let Some(UnderWay { prefix, listen, .. }) = self.prefixes.answered(receipt) else { return false };
        if let Some(listen) = listen {
            self.forget_unseen(&prefix, listen);
        }
        let Some(member) = self.prefixes.members.iter_mut().find(|member| member.waits_for == Some(receipt)) else { return true };
        (member.waits_for, member.comes_back, member.last) = (None, None, None);
        for (stream, _) in std::mem::take(&mut member.after) {
            // It was to go on there.
            member.gathered.push(&stream, Event::Reconnected { reason: FORGOTTEN.to_owned(), missed: None });
            member.gathered.push(&stream, Event::Ended { message: None });
        }
        member.gathered.all_joined(streams.unwrap_or(0));
        let prefix = member.prefix.clone();
        let returning = std::mem::take(&mut self.prefixes.returning);
        let is_meant = |name: &String| StreamName::new(name).is_ok_and(|name| prefix.matches(&name));
        let (gone, rest): (BTreeMap<_, _>, _) = returning.into_iter().partition(|(name, _)| is_meant(name));
        self.prefixes.returning = rest;
        for Returning { back, seats } in gone.into_values() {
            for seat in &seats {
                // It may have said something before it was forgotten.
                if let Some(Back { reason, .. }) = &back {
                    seat.listener().take(Event::Reconnected { reason: reason.clone(), missed: None });
                }
                seat.listener().take(Event::Ended { message: None });
            }
        }
        self.leave_prefixes_that_are_over();
        true
    }

    /// The listen of a prefix was refused. False if it was something else.
    pub(super) fn prefix_refused(&mut self, receipt: u64, reason: &Reason) -> bool {
        if self.prefixes.answered(receipt).is_none() {
            return false;
        }
        for member in self.prefixes.members.iter().filter(|member| member.waits_for == Some(receipt)) {
            member.gathered.end(Event::CutOff(reason.clone()));
        }
        self.leave_prefixes_that_are_over();
        true
    }

    /// A listener is gone; with the last one the prefix is hung up.
    pub(in crate::client) fn leave_prefix(&mut self, gathered: &Arc<Gathered>) -> bool {
        gathered.end(hung_up());
        self.leave_prefixes_that_are_over()
    }

    /// Hangs up: all listeners of this very prefix are told.
    pub(in crate::client) fn hang_up_prefix(&mut self, prefix: &str) -> bool {
        for member in self.prefixes.members.iter().filter(|member| member.prefix.as_str() == prefix) {
            member.gathered.end(hung_up());
        }
        self.leave_prefixes_that_are_over()
    }

    /// Takes out those listeners that take no more. True if nothing was queued before.
    pub(super) fn leave_prefixes_that_are_over(&mut self) -> bool {
        if !self.prefixes.members.iter().any(|member| member.gathered.is_over()) {
            return false;
        }
        let first = self.out.bytes.is_empty();
        let (over, rest): (Vec<_>, _) =
            std::mem::take(&mut self.prefixes.members).into_iter().partition(|member| member.gathered.is_over());
        self.prefixes.members = rest;
        for Member { prefix, gathered, .. } in over {
            for returning in self.prefixes.returning.values_mut() {
                returning.seats.retain(|seat| !seat.listener().is_by(&gathered));
            }
            self.prefixes.returning.retain(|_, returning| !returning.seats.is_empty());
            let mut left = Vec::new();
            for (name, followed) in &mut self.streams {
                followed.listened.leave(|target| target.is_by(&gathered));
                if followed.listened.is_empty() && !followed.named {
                    left.push(name.clone());
                }
            }
            let is_hung_up = !self.prefixes.members.iter().any(|member| member.prefix == prefix);
            let receipt = self.next_receipt();
            for name in left {
                if self.streams.get(&name).is_some_and(Followed::is_over) {
                    self.streams.remove(&name);
                }
                // What comes until it is answered is nobody's.
                if is_hung_up && !self.prefixes.match_any(&name) {
                    self.hanging_up.insert(name, receipt);
                }
            }
            if is_hung_up {
                self.append_part(&request::prefix_line(Verb::Hangup, prefix.as_str(), receipt), Kind::Own);
                self.prefixes.under_way.push_back(UnderWay { receipt, prefix, listen: None });
            }
        }
        first
    }
}
