//! A client that has nothing to do with what another one sends, and must not feel it.

use super::{Broker, Client};

/// The stream that the last line of a burst publishes to.
const OVER: &str = "over";

/// What comes from a stream of [`OVER`].
const WORD: &str = r#"{"action":"put","stream":"over","message":null}"#;

/// A client that asks for answers again and again while bursts of others are worked on.
///
/// Another one listens to a stream to which the last line of each burst publishes: its message waits behind all that the burst gave
/// others. So the order of what both receive tells how often the one was answered before a burst was done, and no clock is asked. A
/// broker that works a burst off in one go answers once at the most.
#[derive(Debug)]
pub(crate) struct Bystander {
    asks: Client,
    is_told: Client,
}

impl Bystander {
    pub(crate) fn of(broker: &Broker) -> Self {
        Self { asks: broker.client(), is_told: broker.listener(OVER) }
    }

    /// The burst, with the line behind it that says that it is over.
    pub(crate) fn told_of(burst: impl IntoIterator<Item = String>) -> String {
        burst.into_iter().chain([WORD.to_owned()]).map(|line| line + "\n").collect()
    }

    /// How many pings are answered, one after the other, before the given number of bursts is over.
    pub(crate) fn pongs_before(&mut self, bursts: usize) -> usize {
        let (mut over, mut pongs) = (0, 0);
        while over < bursts {
            self.asks.ask(r#"{"action":"ping"}"#, r#"{"action":"pong"}"#);
            pongs += 1;
            while let Some(line) = self.is_told.line_by_now() {
                assert_eq!(line, WORD);
                over += 1;
            }
        }
        pongs
    }
}
