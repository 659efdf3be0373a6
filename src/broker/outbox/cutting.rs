//! How an outbox cuts its connection off: as a slow listener, or for the memory of all.

use crate::wire::{ErrorCode, Event};

use super::outbox::{Inner, Openness, Outbox, Told};
use super::outcome::Relieved;
use super::sink::Sink;

/// How many frames of an ended connection are dropped before others get their turn.
const DROPPED: usize = 4096;

impl<S: Sink + ?Sized> Outbox<S> {
    /// Cuts the connection off as a slow listener: takes no more, and says why behind what already waits. False if it
    /// was ending anyway.
    pub fn cut(&self, reason: &str) -> bool {
        let mut state = self.lock();
        if state.openness != Openness::Open {
            return false;
        }
        let told = self.cut_off(&mut state, reason);
        drop(state);
        told.tell();
        true
    }

    /// Cuts the connection off and gives back the memory of what waits: only the rest of a frame that was sent in part
    /// and the reason are still sent. One that was cut off so before, and is still in the way, is ended at once.
    pub fn relieve(&self, reason: &str) -> Relieved {
        let mut state = self.lock();
        if state.openness == Openness::Dead {
            return Relieved::Ending { promised: state.queue.gain() };
        }
        if state.queue.is_empty() {
            return Relieved::Nothing;
        }
        if std::mem::replace(&mut state.relieved, true) {
            drop(state);
            self.kill();
            return Relieved::Ended;
        }
        // One that is about to end has its last word in the queue already: it is not told the end twice.
        if state.openness == Openness::Finishing && state.queue.len() == 1 {
            return Relieved::Nothing;
        }
        let promised = state.queue.truncate(&self.limits.gauge);
        let told = self.cut_off(&mut state, reason);
        drop(state);
        told.tell();
        Relieved::Cut { promised }
    }

    /// About how much memory cutting this connection off would give back, in bytes.
    pub fn gain(&self) -> usize {
        self.lock().queue.gain()
    }

    /// Ends the connection at once: what waits is dropped.
    pub fn kill(&self) {
        let mut state = self.lock();
        state.openness = Openness::Dead;
        state.queue.clear(&self.limits.gauge);
        let told = state.told();
        drop(state);
        told.tell();
    }

    /// Ends the connection as [`kill`](Self::kill) does, and drops some of what waits; there may be a million frames. True once all
    /// of it is dropped. The task calls this until then.
    pub fn wind_up(&self) -> bool {
        let mut state = self.lock();
        state.openness = Openness::Dead;
        let done = state.queue.drop_some(DROPPED, &self.limits.gauge);
        let told = state.told();
        drop(state);
        told.tell();
        done
    }

    /// Queues the reason and takes no more. Returns those to tell once the lock is released.
    pub(super) fn cut_off(&self, state: &mut Inner, reason: &str) -> Told {
        let last = self.encode(&Event::CloseConnection { why: Some((ErrorCode::SlowListener, reason)) });
        state.queue.push(last, &self.limits.gauge);
        state.openness = Openness::Finishing;
        // The task takes over, and with it the drain time begins.
        state.blocked = true;
        state.queue.count(&self.limits.gauge);
        state.told()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, IoSlice};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::broker::outbox::OutboxLimits;
    use crate::broker::settings::Policy;
    use crate::wire::json_lines::ENCODER;

    /// Takes as many bytes as it has room for.
    #[derive(Default)]
    struct Narrow(Mutex<(usize, Vec<u8>)>);

    impl Narrow {
        fn give(&self, room: usize) {
            self.0.lock().unwrap().0 += room;
        }

        fn taken(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().1.clone()).unwrap()
        }
    }

    impl Sink for Narrow {
        fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let mut state = self.0.lock().unwrap();
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(state.0).collect();
            if bytes.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            state.0 -= bytes.len();
            state.1.extend_from_slice(&bytes);
            Ok(bytes.len())
        }

        fn peer(&self) -> String {
            "narrow".to_owned()
        }
    }

    fn outbox() -> Outbox<Narrow> {
        let limits = OutboxLimits {
            encoder: &ENCODER,
            limit: 1 << 20,
            policy: Policy::Disconnect,
            gauge: Arc::default(),
            translations: Arc::default(),
            permits: Arc::default(),
        };
        Outbox::new(Narrow::default(), Arc::new(limits))
    }

    /// Ends an outbox that has sent some bytes of what waits, and is then in the way of others; returns what its peer gets.
    fn ended_and_relieved(messages: usize, sent: usize) -> String {
        let outbox = outbox();
        for _ in 0..messages {
            outbox.push(&outbox.encode(&Event::Pong { receipt: None }));
        }
        outbox.finish(Some(&outbox.encode(&Event::CloseConnection { why: None })));
        outbox.sink().give(sent);
        outbox.flush();
        outbox.relieve("the memory is needed");
        outbox.sink().give(1 << 20);
        outbox.write_some();
        outbox.sink().taken()
    }

    // Seen to fail: one whose last word was half sent was told the end twice.
    #[test]
    fn one_that_is_ending_is_told_the_end_once() {
        let (pong, close) = ("{\"action\":\"pong\"}\n", "{\"action\":\"close\"}\n");
        // In the midst of its last word, which it gets whole.
        assert_eq!(ended_and_relieved(1, pong.len() + 3), format!("{pong}{close}"));
        assert_eq!(ended_and_relieved(0, 0), close);
        // Before that: what waits is dropped, and why is its last word.
        let told = ended_and_relieved(3, 3);
        assert!(told.starts_with(&format!("{pong}{{\"action\":\"close\",\"message\":{{\"code\":\"slow_listener\"")), "{told}");
        assert_eq!(told.matches("close").count(), 1, "{told}");
    }
}
