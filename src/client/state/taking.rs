//! What becomes of what the broker says.

use crate::client::resume::{Kind, Mark, Part};
use crate::wire::subscriber::{Reason, Receipt, Reply};

use super::State;

impl State {
    /// Takes what the broker said. True if there is room again.
    pub(in crate::client) fn take(&mut self, reply: Reply) -> bool {
        let Some(reply) = self.look_back(reply) else { return false };
        match reply {
            Reply::Put { stream, message } if self.found.contains_key(&stream) => self.found_header(&stream, &message),
            Reply::Skipped { stream, .. } if self.hanging_up.contains_key(&stream) => {}
            Reply::Skipped { stream, messages } => self.tell(&stream, |listened| listened.skipped(messages)),
            Reply::Close { stream, .. } if self.found.contains_key(&stream) => {}
            Reply::Put { stream, .. } | Reply::Close { stream, .. } if self.hanging_up.contains_key(&stream) => {}
            Reply::Put { stream, message } => self.put(stream, message),
            Reply::Close { stream, message } => self.closed(&stream, message),
            Reply::Joined { stream, answer } => self.announced(&stream, None, answer.joined()),
            Reply::Receipt { receipt, answer } if self.asking.contains_key(&receipt) => {
                return self.answered(receipt, Ok(answer.run()));
            }
            Reply::Receipt { receipt, answer } => {
                // The hangup of a prefix is that of its streams too.
                let has_hung_up = self.hung_up(receipt);
                if self.prefix_answered(receipt, answer.streams) || has_hung_up {
                    return false;
                }
                if let Some((_, found)) = self.found.values_mut().find(|(question, _)| *question == receipt) {
                    (found.state, found.run) = (answer.state, answer.run());
                    return false;
                }
                if let Some(stream) = self.joins.remove(&receipt) {
                    self.joined(&stream, receipt, answer.joined());
                } else {
                    self.answer(receipt, Ok(answer.receipt()));
                }
            }
            Reply::Pong { receipt: Some(receipt) } => {
                let confirmed = self.unconfirmed.iter().position(|(chunk, _)| chunk.ping == Some(receipt));
                if let Some(position) = confirmed {
                    for (chunk, changes) in self.unconfirmed.drain(..=position) {
                        self.queued -= chunk.bytes.len();
                        self.taken += chunk.lines;
                        self.has_moved |= chunk.actions > 0;
                        for (stream, header) in changes {
                            match header {
                                Some(header) => self.headers.insert(stream, header),
                                None => self.headers.remove(&stream),
                            };
                        }
                    }
                    return true;
                }
                self.answer_flush(receipt);
            }
            Reply::Session { known, taken, broker } => return self.opened(known.then_some(taken), broker),
            Reply::Error { receipt: Some(receipt), .. } if self.opening.as_ref().is_some_and(|(asked, _)| *asked == receipt) => {
                return self.opened(None, None);
            }
            Reply::Error { reason, receipt: Some(receipt), .. } if self.asking.contains_key(&receipt) => {
                return self.answered(receipt, Err(reason));
            }
            Reply::Error { reason, receipt: Some(receipt), .. } => match self.joins.remove(&receipt) {
                Some(stream) => self.listen_refused(&stream, receipt, &reason),
                None if self.prefix_refused(receipt, &reason) => {}
                None if self.question_refused(receipt, &reason) => {}
                None => {
                    self.refuse(receipt);
                    if self.answers.contains_key(&receipt) {
                        self.answer(receipt, Err(reason.into()));
                    } else {
                        self.refused.get_or_insert(reason);
                    }
                }
            },
            Reply::Error { reason, stream, receipt: None } => {
                if let Some(stream) = stream {
                    self.not_joined(&stream, &reason);
                }
                self.refused.get_or_insert(reason);
            }
            Reply::Pong { receipt: None } | Reply::CloseConnection(_) | Reply::Unknown => {}
        }
        false
    }

    /// An action was refused: a new connection does not repeat it, and the header that it was to set is not this client's.
    fn refuse(&mut self, receipt: u64) {
        for (chunk, headers) in &mut self.unconfirmed {
            let marked = chunk.parts.iter_mut().find(|part| part.mark().is_some_and(|mark| mark.receipt == Some(receipt)));
            let Some(Kind::Change(Mark { stream, added, .. })) = marked.map(|part| std::mem::replace(&mut part.kind, Kind::Own)) else {
                continue;
            };
            if added.is_some() {
                // It was repeated, and came too late: the run is over, or somebody else's.
                self.headers.remove(&stream);
                self.wills.remove(&stream);
            }
            match chunk.parts.iter().rev().filter_map(Part::mark).find(|mark| mark.stream == stream) {
                Some(mark) => headers.insert(stream, mark.change.header()),
                None => headers.remove(&stream),
            };
        }
    }

    /// A new connection may not be told how a stream stands. False if it had not asked.
    fn question_refused(&mut self, receipt: u64, reason: &Reason) -> bool {
        let asked = self.found.values_mut().find(|(question, _)| *question == receipt);
        asked.map(|(_, found)| (found.is_untold, found.is_denied) = (true, reason.is_denied())).is_some()
    }

    /// A question has been answered that a flush waits for.
    fn answer_flush(&mut self, receipt: u64) {
        // Not by a flush whose caller has stopped waiting.
        let waited_for = self.answers.get(&receipt).is_some_and(|waits| !waits.is_closed());
        let refused = self.refused.take_if(|_| waited_for);
        self.answer(receipt, refused.map_or(Ok(Receipt::default()), |reason| Err(reason.into())));
    }
}
