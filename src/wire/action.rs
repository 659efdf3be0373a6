//! What a client asks for: the table of actions, which decoders and clients share, and the type of a decoded action.

use crate::wire::ids::{Prefix, StreamName};

use super::position::{Epoch, Start, Starts};
use super::secret::Token;
use super::session::SessionName;

/// The rules of an action. Any action may have a receipt.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "broker"), expect(dead_code, reason = "a client alone decodes no actions"))]
pub(crate) struct Rule {
    /// Its name on the wire.
    pub(crate) word: &'static str,
    /// What it is about.
    pub(crate) target: Target,
    /// Whether it has a message.
    pub(crate) message: Need,
    /// Whether it changes the stream for others.
    pub(crate) writes: bool,
    /// What it does to the header that its client repeats on a new connection.
    pub(crate) repeated: Repeated,
}

/// What an action is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// A stream, always.
    Stream,
    /// A stream; without one, or with null, all that the connection listens to.
    StreamOrAll,
    /// A stream; without one the connection itself.
    StreamOrConnection,
    /// The connection. A stream is ignored.
    Connection,
}

/// Whether an action has a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Must,
    May,
    /// No message; one that is given is ignored.
    Not,
}

/// What an action does to the header that its client repeats on a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// It stays as it is.
    Stays,
    /// The action's message takes its place.
    Message,
    /// The action's member `header` takes its place, if there is one.
    Header,
    /// It is no longer repeated.
    Nothing,
}

/// Makes [`Verb`] from the table, so that every verb has a rule and stands in `ALL`.
macro_rules! verbs {
    ($($(#[$doc:meta])* $verb:ident: $word:literal, $target:ident, $message:ident, $writes:literal, $repeated:ident;)*) => {
        /// An action's verb.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Verb {
            $($(#[$doc])* $verb,)*
        }

        impl Verb {
            /// Every verb, in the order used in error texts.
            #[cfg(feature = "broker")]
            pub(crate) const ALL: [Self; [$($word),*].len()] = [$(Self::$verb),*];

            /// Its rules.
            pub(crate) const fn rule(self) -> Rule {
                match self {
                    $(Self::$verb => Rule {
                        word: $word,
                        target: Target::$target,
                        message: Need::$message,
                        writes: $writes,
                        repeated: Repeated::$repeated,
                    },)*
                }
            }
        }
    };
}

verbs! {
    // Verb: word, target, message, writes, repeated header
    Header:  "header",  Stream,             Must, true,  Message;
    Put:     "put",     Stream,             Must, true,  Header;
    Listen:  "listen",  Stream,             Not,  false, Stays;
    Hangup:  "hangup",  StreamOrAll,        Not,  false, Stays;
    Close:   "close",   StreamOrConnection, May,  true,  Nothing;
    Delete:  "delete",  Stream,             May,  true,  Nothing;
    Will:    "will",    Stream,             May,  true,  Stays;
    Session: "session", Connection,         Not,  false, Stays;
    Auth:    "auth",    Connection,         Not,  false, Stays;
    Ping:    "ping",    Connection,         Not,  false, Stays;
}

impl Verb {
    /// The verb of a word.
    #[cfg(feature = "broker")]
    pub(crate) fn of(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.word().as_bytes() == word)
    }

    /// Its name on the wire.
    pub(crate) fn word(self) -> &'static str {
        self.rule().word
    }
}

/// One decoded action of a client. Borrows from the bytes it was decoded from, and from the codec, which remembers a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<'a> {
    /// A message for every current listener, with a new header in the same step if there is one.
    Put {
        /// The stream.
        stream: Name<'a>,
        /// What the listeners get.
        message: Payload<'a>,
        /// Becomes the stream's header together with the delivery.
        header: Option<Payload<'a>>,
        /// Only if this is the stream's epoch.
        of: Option<Epoch>,
        /// Asks for an answer once this has taken effect.
        receipt: Option<ReceiptId>,
    },
    /// Replaces the stream's header; reopens an ended stream.
    Header {
        /// The stream.
        stream: Name<'a>,
        /// The new header.
        message: Payload<'a>,
        /// Only if this is the stream's epoch.
        of: Option<Epoch>,
        /// Only if the stream has no header and has not ended.
        absent: bool,
        /// Asks for an answer once this has taken effect.
        receipt: Option<ReceiptId>,
    },
    /// Makes this connection a listener of the stream.
    Listen {
        /// The stream.
        stream: Name<'a>,
        /// Where it begins; none means with what comes next.
        start: Option<Box<Start>>,
        /// Asks for an answer once this has taken effect.
        receipt: Option<ReceiptId>,
    },
    /// Makes this connection a listener of all streams whose names begin so, those that there are and those to come.
    ListenPrefix {
        /// How the names begin.
        prefix: Prefix,
        /// Where it begins in them; none means with what comes next.
        start: Option<Box<Starts>>,
        /// Asks for an answer once all streams that there are have been joined.
        receipt: Option<ReceiptId>,
    },
    /// Stops listening to one stream, or to all.
    Hangup {
        /// The stream; none means all.
        stream: Option<Name<'a>>,
        /// Asks for an answer once this has taken effect.
        receipt: Option<ReceiptId>,
    },
    /// Stops listening to a prefix.
    HangupPrefix {
        /// How the names begin.
        prefix: Prefix,
        /// Asks for an answer once this has taken effect.
        receipt: Option<ReceiptId>,
    },
    /// Ends the stream, with a last message if there is one.
    Close {
        /// The stream.
        stream: Name<'a>,
        /// The last message.
        message: Option<Payload<'a>>,
        /// Only if this is the stream's epoch.
        of: Option<Epoch>,
        /// Asks for an answer once this has taken effect.
        receipt: Option<ReceiptId>,
    },
    /// Ends this connection, after all that is queued for it was sent.
    CloseConnection {
        /// Asks for an answer once this has taken effect.
        receipt: Option<ReceiptId>,
    },
    /// Forgets the stream, header and all.
    Delete {
        /// The stream.
        stream: Name<'a>,
        /// The last message.
        message: Option<Payload<'a>>,
        /// Only if this is the stream's epoch.
        of: Option<Epoch>,
        /// Asks for an answer once this has taken effect.
        receipt: Option<ReceiptId>,
    },
    /// Says how the stream is to end if this client is lost; without a message it takes that back.
    Will {
        /// The stream.
        stream: Name<'a>,
        /// The last message that the stream gets then.
        message: Option<Payload<'a>>,
        /// Asks for an answer once this has taken effect.
        receipt: Option<ReceiptId>,
    },
    /// The connection belongs to a session from now on, which may have had others before it.
    Session {
        /// The session.
        session: SessionName,
        /// Echoed in the answer.
        receipt: Option<ReceiptId>,
    },
    /// Says who the client is. It is the first that the connection says.
    Auth {
        /// What proves it.
        token: Token,
        /// Asks for an answer once this has taken effect.
        receipt: Option<ReceiptId>,
    },
    /// Asks for a pong once all earlier actions of this connection have taken effect.
    Ping {
        /// Echoed in the pong.
        receipt: Option<ReceiptId>,
    },
}

/// A stream's name in a decoded action: one that the codec already keeps, or a new one.
///
/// A publisher names the same stream again and again: its codec keeps the name, so that no message costs an allocation, a
/// reference count or a comparison of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name<'a> {
    /// A name that the codec keeps from now on.
    Kept(&'a StreamName),
    /// The same name as the last `Kept` or `Again`, with no other name in between.
    Again(&'a StreamName),
    /// A name made for this action alone.
    New(StreamName),
}

impl Name<'_> {
    /// The name itself.
    pub fn as_name(&self) -> &StreamName {
        match self {
            Self::Kept(name) | Self::Again(name) => name,
            Self::New(name) => name,
        }
    }

    /// A name of one's own, to keep.
    pub fn into_name(self) -> StreamName {
        match self {
            Self::Kept(name) | Self::Again(name) => name.clone(),
            Self::New(name) => name,
        }
    }
}

/// A message's content, as the publisher sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload<'a> {
    /// The content in the codec's encoding, byte for byte, valid in that encoding.
    pub content: &'a [u8],
    /// Whether the whole unit that it came in is byte for byte what a listener would get, so that it can be passed on
    /// unchanged. Only ever true for the `message` of a [`Action::Put`] that holds nothing else.
    pub verbatim: bool,
}

/// The value of an action's `receipt`, which the answer repeats: the bytes of a JSON string or number, as the client wrote it.
/// With it stands whether the answer is to wait until what was done is durable.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceiptId(Box<str>);

/// Ends the text of a receipt that is to wait. No JSON text has it, and so a receipt takes no more room for this.
const DURABLE: char = '\0';

impl ReceiptId {
    /// A receipt that is answered at once.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The same receipt, answered once what was done is durable.
    #[must_use]
    pub fn durable(&self) -> Self {
        Self(format!("{}{DURABLE}", self.text()).into())
    }

    /// Whether the answer waits until what was done is durable.
    pub fn is_durable(&self) -> bool {
        self.0.ends_with(DURABLE)
    }

    /// The value, as the client wrote it.
    pub fn text(&self) -> &str {
        self.0.strip_suffix(DURABLE).unwrap_or(&self.0)
    }
}

impl std::fmt::Debug for ReceiptId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.text(), if self.is_durable() { " (durable)" } else { "" })
    }
}

#[cfg(all(test, feature = "broker"))]
mod tests {
    use super::Verb;

    #[test]
    fn every_verb_is_known_by_its_own_word() {
        for verb in Verb::ALL {
            assert_eq!(Verb::of(verb.word().as_bytes()), Some(verb));
        }
        assert_eq!(Verb::of(b"Put"), None);
    }
}
