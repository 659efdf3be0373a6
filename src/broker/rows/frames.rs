//! Frames as bytes: the number of their encoding, their length, and their units as they stand.

use crate::wire::json_lines::{self, JsonLines};
use crate::wire::message_pack::{self, MessagePack};
use crate::wire::{Codec, Encode, Encoding, Frame, UnitEnd};

/// What is wrong with bytes that should be a row.
pub(in crate::broker) type Fault = &'static str;

/// Writes a frame. False if it is longer than a row can say, or in an encoding that has no number.
pub(in crate::broker) fn write(frame: &Frame, out: &mut Vec<u8>) -> bool {
    let encoding = Encoding::ALL.iter().find(|encoding| frame.is_in(encoder(**encoding)));
    let (Some(encoding), Ok(length)) = (encoding, u32::try_from(frame.bytes().len())) else { return false };
    out.push(encoding.number());
    out.extend(length.to_le_bytes());
    out.extend(frame.bytes());
    true
}

/// The bytes of a frame, of which it is known how many units they are.
pub(in crate::broker) struct Whole<'a> {
    bytes: &'a [u8],
    units: u32,
    encoder: &'static dyn Encode,
}

impl<'a> Whole<'a> {
    /// Looks through the units.
    pub(in crate::broker) fn new(number: u8, bytes: &'a [u8]) -> Result<Self, Fault> {
        let encoding = Encoding::ALL.iter().find(|encoding| encoding.number() == number).ok_or("its encoding is not known")?;
        let units = match encoding {
            Encoding::JsonLines => units(&JsonLines::default(), bytes),
            Encoding::MessagePack => units(&MessagePack::default(), bytes),
        };
        Ok(Self { bytes, units: units.ok_or("a message in it is not whole")?, encoder: encoder(*encoding) })
    }

    /// As a header or a last message.
    pub(in crate::broker) fn lasting(self) -> Result<Frame, Fault> {
        if self.units == 1 { Ok(Frame::lasting(self.bytes.into(), self.encoder)) } else { Err(COUNT) }
    }

    /// As so many messages.
    pub(in crate::broker) fn run(self, messages: u32) -> Result<Frame, Fault> {
        if self.units == messages && messages > 0 { Ok(Frame::new(self.bytes.into(), messages, self.encoder)) } else { Err(COUNT) }
    }
}

const COUNT: Fault = "it has more or fewer messages than it says";

/// How many units the bytes are, if nothing is left over.
fn units(codec: &impl Codec, mut bytes: &[u8]) -> Option<u32> {
    let mut count = 0_u32;
    while !bytes.is_empty() {
        let UnitEnd::Complete(end) = codec.unit(bytes, 0) else { return None };
        bytes = bytes.get(end..)?;
        count = count.checked_add(1)?;
    }
    Some(count)
}

fn encoder(encoding: Encoding) -> &'static dyn Encode {
    match encoding {
        Encoding::JsonLines => &json_lines::ENCODER,
        Encoding::MessagePack => &message_pack::ENCODER,
    }
}
