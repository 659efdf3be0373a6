//! Why a broker refuses what is well-formed, in the same words over every connection and within a program. Slow, and used only
//! after a mistake.

use super::action::{ReceiptId, Verb};
use super::error::{ErrorCode, Mistake};
use super::ids::StreamName;
use super::reason::cut;
use super::units::ByteSize;

/// The stream's name is one of the broker's own.
pub(crate) fn reserved(verb: Verb, name: &str) -> Mistake {
    let (verb, name) = (verb.word(), cut(name.as_bytes()));
    let reason = format!("\"{verb}\" on \"{name}\": names that begin with $ are the broker's own, clients may only listen to them");
    Mistake::new(ErrorCode::Denied, reason)
}

/// The stream's name is too long. It comes as bytes, since a name that is too long is never decoded.
pub(crate) fn long_name(name: &[u8], most: usize) -> String {
    let shown = cut(name);
    format!("the name of the stream, \"{shown}\", is longer than {most} bytes of UTF-8 (the broker's setting limits.name)")
}

/// The prefix is too long: it would match no name.
pub(crate) fn long_prefix(prefix: &[u8], most: usize) -> String {
    let shown = cut(prefix);
    format!("the prefix, \"{shown}\", is longer than {most} bytes of UTF-8, as no name is (the broker's setting limits.name)")
}

/// The header is too long.
pub(crate) fn long_header(length: usize, most: usize) -> Mistake {
    let most = ByteSize(most);
    let reason = format!(
        "the header has {length} bytes, more than {most}, the most allowed (limits.header); send a shorter one, or raise the limit"
    );
    Mistake::new(ErrorCode::Limit, reason)
}

/// The last message of a stream is too long: it is stored, as a header is.
pub(crate) fn long_last_message(length: usize, most: usize) -> Mistake {
    let most = ByteSize(most);
    let reason = format!(
        "the last message has {length} bytes, more than {most}, the most allowed for what is stored (limits.header); put it before the end, or raise the limit"
    );
    Mistake::new(ErrorCode::Limit, reason)
}

/// The broker keeps nothing.
pub(crate) fn not_durable(stream: &StreamName, receipt: &ReceiptId) -> Mistake {
    let reason =
        "nothing can be durable: this broker has no store (store.path); nothing was done; leave \"durable\" out, or have a store set up";
    Mistake::new(ErrorCode::BadAction, reason).on(stream, Some(receipt))
}

/// The session comes too late.
pub(crate) fn late_session(receipt: Option<ReceiptId>) -> Mistake {
    let reason = "\"session\" must be the first line of its connection, so that each action is counted; connect again to begin with it";
    Mistake { receipt, ..Mistake::new(ErrorCode::BadAction, reason) }
}

/// The token comes too late.
pub(crate) fn late_token(receipt: Option<ReceiptId>) -> Mistake {
    let reason = "\"auth\" must be the first line of its connection, before \"session\"; connect again to begin with it";
    Mistake { receipt, ..Mistake::new(ErrorCode::BadAction, reason) }
}

/// The broker is a node that does not hear the others.
pub(crate) const CUT_OFF: &str =
    "this node does not hear the others, so it cannot tell how streams stand; connect to another node, or again later";

/// There is no token in the line that should show one.
pub(crate) const NEEDS_TOKEN: &str = "\"auth\" needs a token: add \"token\":TEXT, as it was given to you";

/// The client has not said who it is.
pub(crate) const AUTH_REQUIRED: &str = "this broker lets in who has a token: the first line must be {\"action\":\"auth\",\"token\":TEXT} (clients take it from MSGSTREAM_TOKEN); ask who runs the broker for one";

/// The client may not do that. It says what the client has asked for, and nothing of what there is.
pub(crate) fn denied(who: &str, verb: Verb, what: &str) -> Mistake {
    let (verb, what) = (verb.word(), cut(what.as_bytes()));
    let reason =
        format!("\"{who}\" has no right to \"{verb}\" on \"{what}\"; whoever runs the broker gives rights, in the file auth.tokens");
    Mistake::new(ErrorCode::Denied, reason)
}

/// The line is too long.
pub(crate) fn long_line(most: usize) -> Mistake {
    let most = ByteSize(most);
    let reason =
        format!("the line is longer than {most}, the most allowed (limits.line); it was skipped; send less at once, or raise the limit");
    Mistake::new(ErrorCode::LineTooLong, reason)
}

/// There is no room for one more unfinished line.
pub(crate) fn unfinished_lines(most: usize) -> Mistake {
    let most = ByteSize(most);
    let reason = format!(
        "what all connections have sent and what has not taken effect yet takes {most}, the most allowed (limits.unfinished_lines); the line was skipped; send it again later"
    );
    Mistake::new(ErrorCode::Limit, reason)
}
