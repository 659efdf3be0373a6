//! What is heard of the broker: its directory, the streams that are seen, and the one that is looked at.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::cli::connecting::{Contact, News};
use crate::cli::entry::Entry;
use crate::cli::exit::Failure;
use crate::cli::prefixed::Prefixed;
use crate::cli::streams::Heard;
use crate::client::{ENTRIES, Event, Listener, Position, RemoteStream, Start, Starts};

/// So many of the last messages of a stream are shown to who looks at it.
const LAST: u64 = 200;

/// See the module.
pub(super) struct Feed {
    remote: RemoteStream,
    contact: Contact,
    directory: Prefixed,
    /// The streams that are seen.
    followed: Vec<Followed>,
    /// Whose turn it is.
    turn: usize,
    /// The stream that is looked at.
    looked_at: Option<Followed>,
    opened: Option<u64>,
}

/// What is heard.
#[derive(Debug)]
pub(super) enum Told {
    /// The broker is away, in words.
    Away(String),
    Back,
    /// The directory says so of a stream; nothing if the broker has forgotten it.
    Entry(Arc<str>, Option<Entry>),
    /// Of a stream that is seen.
    Seen(Arc<str>, Heard),
    /// Of the stream that is looked at.
    LookedAt(Heard),
}

struct Followed {
    name: Arc<str>,
    /// None once it has ended.
    listener: Option<Listener>,
    is_joined: bool,
    /// Where it was when the connection was lost.
    after: Option<Position>,
}

impl Feed {
    /// Listens to the directory of the streams whose names begin so.
    pub(super) async fn listen(remote: RemoteStream, contact: Contact, prefix: &str) -> Result<Self, Failure> {
        let directory = Prefixed::listen(&remote, &format!("{ENTRIES}{prefix}"), Starts::default().latest(true)).await?;
        Ok(Self { remote, contact, directory, followed: Vec::new(), turn: 0, looked_at: None, opened: None })
    }

    /// Listens to the newest messages of these streams, the one that has been included, and to no others.
    pub(super) async fn follow(&mut self, names: &[Arc<str>]) -> Result<(), Failure> {
        self.followed.retain(|followed| followed.listener.is_some() && names.contains(&followed.name));
        for name in names {
            if !self.followed.iter().any(|followed| followed.name == *name) {
                self.followed.push(Followed::listen(&self.remote, name, Start::default().last(1).latest(true)).await?);
            }
        }
        Ok(())
    }

    /// Listens to all messages of this stream, from the last ones on each time that it is `opened`, if it `is_there` as far as is known: who
    /// listens to one that is not makes it. If the listener has ended, it does so again once the stream, or its next run, `goes_on`.
    pub(super) async fn look_at(&mut self, stream: Option<(&Arc<str>, u64)>, is_there: bool, goes_on: bool) -> Result<(), Failure> {
        let opened = stream.map(|(_, opened)| opened);
        let known = self.looked_at.take_if(|_| self.opened == opened);
        self.opened = opened;
        self.looked_at = match (known, stream) {
            (Some(Followed { name, listener: None, after, .. }), _) if goes_on => {
                // After a lost connection, what was missed; the last messages if that is not there any more.
                Some(Followed::listen(&self.remote, &name, Start::default().after(after).last(LAST)).await?)
            }
            (None, Some((name, _))) if is_there => Some(Followed::listen(&self.remote, name, Start::default().last(LAST)).await?),
            (known, _) => known,
        };
        Ok(())
    }

    /// What is heard next. Dropped while it waits, it misses nothing.
    pub(super) async fn next(&mut self) -> Result<Told, Failure> {
        loop {
            // The streams come before the directory: then what it says of one that has been joined counts this listener.
            tokio::select! {
                biased;
                news = self.contact.news() => return Ok(match news {
                    News::Away(said) => {
                        // Whatever is there when the broker is back may be another stream of that name, or none.
                        self.followed.clear();
                        self.looked_at.iter_mut().for_each(Followed::pause);
                        Told::Away(said)
                    }
                    News::Back => Told::Back,
                }),
                told = heard(&mut self.followed, &mut self.turn, &mut self.looked_at) => return Ok(told),
                entry = self.directory.next() => {
                    let (_, name, heard) = entry?;
                    if let Some(told) = told_of(name.as_str(), heard) {
                        return Ok(told);
                    }
                }
            }
        }
    }
}

/// What an event of the directory tells.
fn told_of(name: &str, heard: Heard) -> Option<Told> {
    let name: Arc<str> = name.strip_prefix(ENTRIES)?.into();
    match heard {
        Heard::Event(Event::Header(content) | Event::Message(content)) => Some(Told::Entry(name, Some(Entry::of(&content)))),
        Heard::Event(Event::Ended { .. } | Event::CutOff(_)) => Some(Told::Entry(name, None)),
        Heard::Event(Event::Skipped { .. } | Event::Reconnected { .. } | Event::Lost { .. }) | Heard::Joined(_) | Heard::Passed(_) => None,
    }
}

/// What one of the streams tells next, each in its turn.
async fn heard(followed: &mut [Followed], turn: &mut usize, looked_at: &mut Option<Followed>) -> Told {
    poll_fn(|cx| {
        if let Some(Poll::Ready(heard)) = looked_at.as_mut().map(|followed| followed.poll(cx)) {
            return Poll::Ready(Told::LookedAt(heard));
        }
        let count = followed.len();
        for step in 0..count {
            let index = (*turn + step) % count;
            let Some(followed) = followed.get_mut(index) else { continue };
            if let Poll::Ready(heard) = followed.poll(cx) {
                *turn = index + 1;
                return Poll::Ready(Told::Seen(Arc::clone(&followed.name), heard));
            }
        }
        Poll::Pending
    })
    .await
}

impl Followed {
    async fn listen(remote: &RemoteStream, name: &Arc<str>, start: Start) -> Result<Self, Failure> {
        Ok(Self { name: Arc::clone(name), listener: Some(remote.listen_from(name, start).await?), is_joined: false, after: None })
    }

    /// Leaves the stream, and notes where it was.
    fn pause(&mut self) {
        if let Some(listener) = self.listener.take() {
            (self.after, self.is_joined) = (listener.position(), false);
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        let Some(listener) = &mut self.listener else { return Poll::Pending };
        if !self.is_joined {
            let joined = pin!(listener.joined()).poll(cx);
            if let Poll::Ready(joined) = joined {
                self.is_joined = true;
                if let Some(joined) = joined {
                    return Poll::Ready(Heard::Joined(joined));
                }
            }
        }
        let next = pin!(listener.next()).poll(cx);
        let Poll::Ready(event) = next else { return Poll::Pending };
        if event.as_ref().is_none_or(Event::is_last) {
            self.listener = None;
        }
        event.map_or(Poll::Pending, |event| Poll::Ready(Heard::Event(event)))
    }
}
