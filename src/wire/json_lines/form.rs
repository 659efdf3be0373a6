//! The bytes that are the same in every line of the encoder.

use std::ops::Range;

/// What stands before the name in a put.
pub(super) const PUT_HEAD: &[u8] = br#"{"action":"put","stream":""#;
/// What stands before the name in the end of a stream.
pub(super) const CLOSE_HEAD: &[u8] = br#"{"action":"close","stream":""#;
/// Where the action stands in a put.
pub(super) const PUT_ACTION: Range<usize> = 10..15;
/// What stands between the name and the message in a put.
pub(super) const PUT_TAIL: &[u8] = br#"","message":"#;
/// What stands before the message of any event, behind the closing quote of the name.
pub(super) const MESSAGE: &[u8] = br#","message":"#;
