//! A client that has nothing to do with what another one sends, and must not feel it.

use super::{Broker, Client};

/// The stream that the last line of a burst publishes to.
const OVER: &str = "over";

/// What comes from a stream of [`OVER`].
const WORD: &str = r#"{"action":"put","stream":"over","message":null}"#;

/// A client that asks for answers again and again while bursts of others are worked on.
///
/// It also listens to a stream to which the last line of each burst publishes. So the order of what it receives tells how often it
/// was answered before a burst was done, and no clock is asked. A broker that works a burst off in one go answers once at the most.
#[derive(Debug)]
pub(crate) struct Bystander(Client);

impl Bystander {
    pub(crate) fn of(broker: &Broker) -> Self {
        Self(broker.listener(OVER))
    }

    /// The burst, with the line behind it that says that it is over.
    pub(crate) fn told_of(burst: impl IntoIterator<Item = String>) -> String {
        burst.into_iter().chain([WORD.to_owned()]).map(|line| line + "\n").collect()
    }

    /// How many pings are answered, one after the other, before the given number of bursts is over.
    pub(crate) fn pongs_before(&mut self, bursts: usize) -> usize {
        let (mut over, mut pongs) = (0, 0);
        self.0.send(r#"{"action":"ping"}"#);
        while over < bursts {
            match self.0.next().as_str() {
                WORD => over += 1,
                r#"{"action":"pong"}"# => {
                    pongs += 1;
                    self.0.send(r#"{"action":"ping"}"#);
                }
                other => panic!("a bystander got {other}"),
            }
        }
        self.0.expect(r#"{"action":"pong"}"#);
        pongs
    }
}
