//! The bytes that are the same in every unit of the encoder.

/// How many bytes say how long a unit is.
pub(super) const PREFIX: usize = size_of::<u32>();

/// What stands before the name in a put, the unit's length aside.
pub(super) const PUT_HEAD: &[u8] = b"\x83\xa6action\xa3put\xa6stream";
/// What stands before the name in the end of a stream, behind the map's head.
pub(super) const CLOSE_HEAD: &[u8] = b"\xa6action\xa5close\xa6stream";
/// What stands before the content.
pub(super) const MESSAGE: &[u8] = b"\xa7message";

/// The extension that holds JSON text: `J`.
pub(super) const JSON: i8 = 74;
