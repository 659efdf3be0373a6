//! One stream as a connection sees it: who listens, and who is about to. It does no I/O: it takes values and delivers events.
//!
//! On the wire the header comes as a put like any other; only the receipt that follows tells which it is. So while a
//! listener is joining, the latest put is held back: when the receipt comes, that put was either the header, or a message for
//! the listeners that had joined before.

use std::collections::VecDeque;

use crate::job::content::Content;
use crate::wire::StreamState;

use super::event::{Event, Reason};

/// A listener.
pub(crate) trait Take {
    /// Takes an event. False if the listener wants no more.
    fn take(&self, event: Event) -> bool;

    /// Learns the state of the stream, before the header.
    fn joined(&self, state: StreamState);
}

/// The listeners of one stream on one connection.
#[derive(Debug)]
pub(crate) struct Listened<L> {
    listeners: Vec<L>,
    /// Joining listeners and the receipts that they wait for, in the order of the actions.
    joining: VecDeque<(u64, Vec<L>)>,
    /// The latest put, as long as it may be the header for those who join.
    held: Option<Content>,
}

impl<L> Default for Listened<L> {
    fn default() -> Self {
        Self { listeners: Vec::new(), joining: VecDeque::new(), held: None }
    }
}

impl<L: Take> Listened<L> {
    /// Adds listeners that join by the listen action with this receipt.
    pub(crate) fn join(&mut self, receipt: u64, listeners: Vec<L>) {
        self.joining.push_back((receipt, listeners));
    }

    /// A put has come.
    pub(crate) fn put(&mut self, content: Content) {
        if self.joining.is_empty() {
            return self.deliver(&Event::Message(content));
        }
        // So the put that was held back was not the header.
        let held = self.held.replace(content);
        self.deliver_held(held);
    }

    /// A close of the stream has come. If there is no listener, it crossed a hangup.
    pub(crate) fn close(&mut self, message: Option<Content>) {
        let held = self.held.take();
        self.deliver_held(held);
        // A listener that still wants more had no room for the end, and has yet to be told of it.
        self.deliver(&Event::Ended { message });
    }

    /// The receipt of a listen action has come. If the stream has ended, its close comes next.
    pub(crate) fn joined(&mut self, receipt: u64, state: StreamState) {
        let Some(newcomers) = self.newcomers(receipt) else { return };
        let held = self.held.take();
        let header = match state {
            StreamState::Waiting => {
                self.deliver_held(held);
                None
            }
            StreamState::Running | StreamState::Ended => held,
        };
        for listener in newcomers {
            listener.joined(state);
            if header.clone().is_none_or(|header| listener.take(Event::Header(header))) {
                self.listeners.push(listener);
            }
        }
    }

    /// A listen action was refused.
    pub(crate) fn refused(&mut self, receipt: u64, reason: &Reason) {
        let held = self.held.take();
        self.deliver_held(held);
        for listener in self.newcomers(receipt).into_iter().flatten() {
            listener.take(Event::CutOff(reason.clone()));
        }
    }

    /// Gives an event other than a message to all listeners.
    pub(crate) fn tell(&mut self, event: &Event) {
        let held = self.held.take();
        self.deliver_held(held);
        self.deliver(event);
        for (_, joining) in &mut self.joining {
            joining.retain(|listener| listener.take(event.clone()));
        }
    }

    /// All listeners, joined or joining, so that they can join again.
    pub(crate) fn into_listeners(self) -> Vec<L> {
        self.listeners.into_iter().chain(self.joining.into_iter().flat_map(|(_, joining)| joining)).collect()
    }

    /// Removes listeners that have gone.
    pub(crate) fn leave(&mut self, gone: impl Fn(&L) -> bool) {
        self.listeners.retain(|listener| !gone(listener));
        for (_, joining) in &mut self.joining {
            joining.retain(|listener| !gone(listener));
        }
    }

    /// All listeners, joined or joining.
    #[cfg(feature = "broker")]
    pub(crate) fn all(&self) -> impl Iterator<Item = &L> {
        self.listeners.iter().chain(self.joining.iter().flat_map(|(_, joining)| joining))
    }

    /// Whether there is no listener, joined or joining.
    pub(crate) fn is_empty(&self) -> bool {
        self.listeners.is_empty() && self.joining.iter().all(|(_, joining)| joining.is_empty())
    }

    /// The listeners that wait for this receipt. Receipts come in the order of the actions, so those before it will not come.
    fn newcomers(&mut self, receipt: u64) -> Option<Vec<L>> {
        let position = self.joining.iter().position(|(waits_for, _)| *waits_for == receipt)?;
        self.joining.drain(..=position).next_back().map(|(_, newcomers)| newcomers)
    }

    fn deliver_held(&mut self, held: Option<Content>) {
        if let Some(held) = held {
            self.deliver(&Event::Message(held));
        }
    }

    fn deliver(&mut self, event: &Event) {
        self.listeners.retain(|listener| listener.take(event.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    struct Seen(Rc<RefCell<Vec<String>>>);

    impl Take for Seen {
        fn take(&self, event: Event) -> bool {
            self.0.borrow_mut().push(match &event {
                Event::Header(content) => format!("header {content}"),
                Event::Message(content) => content.to_string(),
                Event::Ended { message: None } => "ended".to_owned(),
                Event::Ended { message: Some(content) } => format!("ended {content}"),
                other => format!("{other:?}"),
            });
            !event.is_last()
        }

        fn joined(&self, state: StreamState) {
            self.0.borrow_mut().push(state.as_str().to_owned());
        }
    }

    impl Seen {
        fn text(&self) -> String {
            self.0.borrow().join(", ")
        }
    }

    fn content(text: &str) -> Content {
        Content::from_json(text).unwrap()
    }

    #[test]
    fn the_put_before_the_receipt_is_the_header_if_the_stream_has_one() {
        for (state, expected) in [(StreamState::Running, "running, header 1, 2"), (StreamState::Waiting, "waiting, 2")] {
            let (mut stream, seen) = (Listened::default(), Seen::default());
            stream.join(7, vec![seen.clone()]);
            stream.put(content("1"));
            stream.joined(7, state);
            stream.put(content("2"));
            assert_eq!(seen.text(), expected);
        }
    }

    #[test]
    fn who_listens_already_gets_messages_and_not_the_newcomers_header() {
        let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
        stream.join(1, vec![one.clone()]);
        stream.joined(1, StreamState::Waiting);
        stream.join(2, vec![other.clone()]);
        for message in ["1", "2", "9"] {
            stream.put(content(message));
        }
        stream.joined(2, StreamState::Running);
        stream.put(content("3"));
        stream.close(Some(content("4")));
        assert_eq!(one.text(), "waiting, 1, 2, 3, ended 4");
        assert_eq!(other.text(), "running, header 9, 3, ended 4");
        assert!(stream.is_empty());
    }

    #[test]
    fn an_end_that_came_before_is_told_to_the_newcomer_alone() {
        let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
        stream.join(1, vec![one.clone()]);
        stream.joined(1, StreamState::Waiting);
        stream.join(2, vec![other.clone()]);
        stream.put(content("1"));
        stream.close(None);
        stream.put(content("9"));
        stream.joined(2, StreamState::Ended);
        stream.close(Some(content("2")));
        assert_eq!(one.text(), "waiting, 1, ended");
        assert_eq!(other.text(), "ended, header 9, ended 2");
        assert!(stream.is_empty());
    }

    #[test]
    fn what_was_under_way_to_one_who_left_reaches_nobody() {
        let (mut stream, seen) = (Listened::default(), Seen::default());
        // The connection had listened, and hung up; these were sent before the broker knew.
        stream.join(2, vec![seen.clone()]);
        stream.put(content("1"));
        stream.close(None);
        stream.put(content("9"));
        stream.joined(2, StreamState::Running);
        assert_eq!(seen.text(), "running, header 9");

        let (mut stream, seen) = (Listened::default(), Seen::default());
        stream.join(2, vec![seen.clone()]);
        stream.put(content("1"));
        stream.close(None);
        stream.joined(2, StreamState::Ended);
        stream.close(Some(content("2")));
        assert_eq!(seen.text(), "ended, ended 2");
    }

    #[test]
    fn a_refused_newcomer_takes_nothing_from_the_others() {
        let (mut stream, one, other) = (Listened::default(), Seen::default(), Seen::default());
        stream.join(1, vec![one.clone()]);
        stream.joined(1, StreamState::Waiting);
        stream.join(2, vec![other.clone()]);
        stream.put(content("1"));
        stream.refused(2, &Reason { code: "limit".to_owned(), reason: "too many".to_owned() });
        assert_eq!(one.text(), "waiting, 1");
        assert!(other.text().starts_with("CutOff"), "{}", other.text());
    }
}
