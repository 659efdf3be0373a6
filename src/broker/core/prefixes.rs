//! Who listens to which prefixes, and how far those have come that are still joining the streams that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::wire::allocated;
use crate::wire::ids::{BEHIND_RESERVED, ConnectionId, Prefix, StreamName};

use super::budget::{Budget, MATCH};

/// What the listener of a prefix takes beside the prefix itself: its places in the tables, in bytes of memory.
const LISTENED: usize = 240;

/// All listeners of prefixes.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    listeners: BTreeMap<Prefix, BTreeSet<ConnectionId>>,
    /// What each connection listens to, and whether it wants the newest message only of the streams of a prefix.
    connections: BTreeMap<ConnectionId, BTreeMap<Prefix, bool>>,
    /// Those that are joining the streams that there are; one connection does one thing after the other.
    walks: BTreeMap<ConnectionId, Walk>,
}

/// The way of one listener through the streams that there are, in the order of their names.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) prefix: Prefix,
    /// The last stream that was joined. None: it has yet to begin.
    pub(super) at: Option<StreamName>,
    /// How many streams were joined.
    pub(super) joined: usize,
}

impl Prefixes {
    /// Whether nobody listens to any.
    pub(super) fn is_empty(&self) -> bool {
        self.listeners.is_empty()
    }

    /// How many prefixes a connection listens to.
    pub(super) fn count(&self, connection: ConnectionId) -> usize {
        self.connections.get(&connection).map_or(0, BTreeMap::len)
    }

    /// Whether a connection listens to this very prefix.
    pub(super) fn listens(&self, connection: ConnectionId, prefix: &Prefix) -> bool {
        self.connections.get(&connection).is_some_and(|own| own.contains_key(prefix))
    }

    /// Whether one of a connection's prefixes matches a stream.
    pub(super) fn match_for(&self, connection: ConnectionId, stream: &StreamName) -> bool {
        self.connections.get(&connection).is_some_and(|own| matching(stream, own).next().is_some())
    }

    /// Whether a connection wants the newest message only of a stream, by all of its prefixes that match it.
    pub(super) fn wants_latest(&self, connection: ConnectionId, stream: &StreamName, budget: &mut Budget) -> bool {
        let Some(own) = self.connections.get(&connection) else { return false };
        matching(stream, own).inspect(|_| budget.spend(MATCH)).all(|(_, latest)| *latest)
    }

    /// Whether somebody listens to a prefix that matches a stream.
    pub(super) fn match_any(&self, stream: &StreamName) -> bool {
        matching(stream, &self.listeners).next().is_some()
    }

    /// Who is to join a stream that comes into being: all whose prefixes match, but for those that have yet to come to it on their way.
    pub(super) fn joining(&self, stream: &StreamName, budget: &mut Budget) -> Vec<ConnectionId> {
        let mut joining = Vec::new();
        let mut prefixes = 0;
        for (prefix, listeners) in matching(stream, &self.listeners) {
            budget.spend(MATCH * listeners.len());
            let listeners = listeners.iter().copied();
            joining.extend(listeners.filter(|connection| !self.will_come(*connection, prefix, stream)));
            prefixes += 1;
        }
        if prefixes > 1 {
            joining.sort_unstable();
            joining.dedup();
        }
        joining
    }

    fn will_come(&self, connection: ConnectionId, prefix: &Prefix, stream: &StreamName) -> bool {
        self.walks.get(&connection).is_some_and(|walk| walk.prefix == *prefix && walk.at.as_ref().is_none_or(|at| at < stream))
    }

    /// Enters a listener, which begins its way. Returns what that takes, in bytes of memory, unless it is there.
    pub(super) fn insert(&mut self, connection: ConnectionId, prefix: &Prefix, latest: bool) -> usize {
        let walk = Walk { prefix: prefix.clone(), at: None, joined: 0 };
        self.walks.insert(connection, walk);
        self.listeners.entry(prefix.clone()).or_default().insert(connection);
        let is_new = self.connections.entry(connection).or_default().insert(prefix.clone(), latest).is_none();
        if is_new { listened(prefix) } else { 0 }
    }

    /// Takes a listener out. Returns what that took, in bytes of memory.
    pub(super) fn remove(&mut self, connection: ConnectionId, prefix: &Prefix) -> usize {
        let Some(own) = self.connections.get_mut(&connection) else { return 0 };
        if own.remove(prefix).is_none() {
            return 0;
        }
        if own.is_empty() {
            self.connections.remove(&connection);
        }
        if let Some(listeners) = self.listeners.get_mut(prefix) {
            listeners.remove(&connection);
            if listeners.is_empty() {
                self.listeners.remove(prefix);
            }
        }
        if self.walks.get(&connection).is_some_and(|walk| walk.prefix == *prefix) {
            self.walks.remove(&connection);
        }
        listened(prefix)
    }

    /// Any one of a connection's prefixes.
    pub(super) fn first(&self, connection: ConnectionId) -> Option<&Prefix> {
        self.connections.get(&connection)?.keys().next()
    }

    /// The way of a connection, if it is on one.
    pub(super) fn walk(&self, connection: ConnectionId) -> Option<&Walk> {
        self.walks.get(&connection)
    }

    pub(super) fn walk_mut(&mut self, connection: ConnectionId) -> Option<&mut Walk> {
        self.walks.get_mut(&connection)
    }

    /// Ends it. The connection still listens to the prefix.
    pub(super) fn end_walk(&mut self, connection: ConnectionId) -> Option<Walk> {
        self.walks.remove(&connection)
    }

    /// How many listen to prefixes of a kind.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn count_all(&self, is_counted: impl Fn(&Prefix) -> bool) -> usize {
        self.connections.values().flat_map(BTreeMap::keys).filter(|prefix| is_counted(prefix)).count()
    }

    /// What all of it takes, in bytes of memory.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn memory(&self) -> usize {
        let own = self.connections.iter().flat_map(|(connection, own)| own.keys().map(move |prefix| (connection, prefix)));
        own.map(|(connection, prefix)| {
            assert!(self.listeners.get(prefix).is_some_and(|listeners| listeners.contains(connection)), "{prefix:?} has lost {connection}");
            listened(prefix)
        })
        .sum()
    }
}

/// What the listener of a prefix takes, in bytes of memory. Both tables share the text.
pub(super) fn listened(prefix: &Prefix) -> usize {
    LISTENED + allocated(prefix.as_str().len())
}

/// What an ordered table has by the prefixes that match a name, the longest first.
///
/// It goes backwards through the table. At one that is no beginning of the name it leaps to what both have in common: each leap leaves a
/// shorter beginning of the name, so that there are no more steps than the name has characters, however many prefixes there are.
fn matching<'p, V>(name: &StreamName, table: &'p BTreeMap<Prefix, V>) -> impl Iterator<Item = (&'p Prefix, &'p V)> {
    let up_to = |most: &str| table.range::<str, _>((Bound::Unbounded, Bound::Included(most)));
    let mut before = up_to(name.as_str());
    std::iter::from_fn(move || {
        loop {
            let (found, value) = before.next_back()?;
            if !name.as_str().starts_with(found.as_str()) {
                before = up_to(common(name.as_str(), found.as_str()));
            } else if found.matches(name) {
                return Some((found, value));
            }
        }
    })
}

/// What two texts have in common at their beginning.
fn common<'t>(one: &'t str, other: &str) -> &'t str {
    let length = one.chars().zip(other.chars()).take_while(|(one, other)| one == other).map(|(character, _)| character.len_utf8()).sum();
    one.get(..length).unwrap_or_default()
}

/// The next stream that a prefix matches, behind the one where one is. `first` finds the first name from a bound on.
pub(super) fn next<'n>(
    prefix: &Prefix,
    at: Option<&StreamName>,
    first: impl Fn(Bound<&str>) -> Option<&'n StreamName>,
) -> Option<&'n StreamName> {
    let mut found = match at {
        None => first(Bound::Included(prefix.as_str())),
        Some(at) => first(Bound::Excluded(at.as_str())),
    }?;
    if prefix.as_str().is_empty() && found.is_reserved() {
        found = first(Bound::Included(BEHIND_RESERVED))?;
    }
    prefix.matches(found).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> StreamName {
        StreamName::new(text).unwrap()
    }

    #[test]
    fn who_joins_a_stream_is_whoever_has_a_prefix_of_its_name() {
        let texts = ["", "a", "ab", "abc", "abd", "é", "éa", "b", "$", "$a", "a\u{0}", "aa", "\u{10ffff}"];
        let mut prefixes = Prefixes::default();
        for (id, text) in (0..).zip(texts) {
            prefixes.insert(ConnectionId(id), &Prefix::new(text), false);
            prefixes.end_walk(ConnectionId(id));
        }
        for text in ["a", "ab", "abc", "abcd", "abz", "b", "é", "éa", "éab", "è", "$", "$a", "$ab", "#", "a\u{0}b", "\u{10ffff}x", "zzz"]
        {
            let expected: Vec<_> = (0..)
                .zip(texts)
                .filter(|(_, prefix)| text.starts_with(prefix) && text.starts_with('$') == prefix.starts_with('$'))
                .map(|(id, _)| ConnectionId(id))
                .collect();
            assert_eq!(prefixes.joining(&name(text), &mut Budget::unlimited()), expected, "{text}");
            assert_eq!(prefixes.match_any(&name(text)), !expected.is_empty());
        }
    }

    #[test]
    fn one_with_several_prefixes_joins_once_and_leaves_one_by_one() {
        let (mut prefixes, one) = (Prefixes::default(), ConnectionId(7));
        let texts = ["a", "ab", "b"].map(Prefix::new);
        let taken: usize = texts.iter().map(|prefix| prefixes.insert(one, prefix, false)).sum();
        prefixes.end_walk(one);
        assert_eq!((prefixes.insert(one, &texts[0], false), prefixes.count(one), prefixes.memory()), (0, 3, taken));
        prefixes.end_walk(one);
        assert_eq!(prefixes.joining(&name("abc"), &mut Budget::unlimited()), [one]);
        assert_eq!(prefixes.remove(one, &texts[1]) + prefixes.memory(), taken);
        assert_eq!((prefixes.joining(&name("abc"), &mut Budget::unlimited()), prefixes.match_for(one, &name("c"))), (vec![one], false));
        for prefix in &texts {
            prefixes.remove(one, prefix);
        }
        assert!(prefixes.is_empty() && prefixes.joining(&name("abc"), &mut Budget::unlimited()).is_empty());
    }

    #[test]
    fn one_on_its_way_comes_to_what_is_ahead_by_itself() {
        let (mut prefixes, one) = (Prefixes::default(), ConnectionId(0));
        prefixes.insert(one, &Prefix::new(""), false);
        assert!(prefixes.joining(&name("m"), &mut Budget::unlimited()).is_empty(), "it has yet to begin");
        prefixes.walk_mut(one).unwrap().at = Some(name("m"));
        assert_eq!(["l", "m", "n"].map(|stream| prefixes.joining(&name(stream), &mut Budget::unlimited()).len()), [1, 1, 0]);
    }

    #[test]
    fn the_next_name_is_of_the_prefix_and_the_empty_one_passes_over_reserved_names() {
        let names: BTreeSet<_> = ["!", "$", "$a", "$b", "%", "a", "ab", "b"].map(name).into();
        let all = |prefix: &str| {
            let (prefix, mut at, mut seen) = (Prefix::new(prefix), None, Vec::new());
            while let Some(found) = next(&prefix, at, |bound| names.range::<str, _>((bound, Bound::Unbounded)).next()) {
                seen.push(found.as_str());
                at = Some(found);
            }
            seen
        };
        assert_eq!(all(""), ["!", "%", "a", "ab", "b"]);
        assert_eq!([all("$"), all("$a"), all("a"), all("c")], [vec!["$", "$a", "$b"], vec!["$a"], vec!["a", "ab"], vec![]]);
    }
}
