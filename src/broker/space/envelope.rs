//! A record in the log: who says it, and what. What is too long for one is said in parts.

use crate::broker::rows::{Fault, Row};

use super::port::{LARGEST, RecordId};

/// The first byte of each record. A node that meets another one is too old.
const FORMAT: u8 = 1;

/// What stands before the content.
const HEAD: usize = 18;

/// The head of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// Who says it, and the how-manieth of it this is.
    pub id: RecordId,
    /// Whether the content goes on in the next record of the same node.
    pub goes_on: bool,
}

impl Envelope {
    /// The head of a record, and its content.
    pub fn read(record: &[u8]) -> Result<(Self, &[u8]), Fault> {
        let mut row = Row::new(record);
        if row.u8()? != FORMAT {
            return Err("it is of another version");
        }
        let (goes_on, life, number) = (row.u8()? != 0, row.u64()?, row.u64()?);
        Ok((Self { id: RecordId { life, number }, goes_on }, record.get(HEAD..).unwrap_or_default()))
    }

    /// The records that say this content, the first of them with this number.
    pub fn write(RecordId { life, number }: RecordId, content: &[u8]) -> Vec<Vec<u8>> {
        let pieces = content.chunks(LARGEST - HEAD);
        // One that says nothing says that the node is there.
        let count = pieces.len().max(1);
        let pieces = pieces.chain(content.is_empty().then_some(content));
        (number..)
            .zip(pieces)
            .enumerate()
            .map(|(index, (number, piece))| {
                let mut record = Vec::with_capacity(HEAD + piece.len());
                record.extend([FORMAT, u8::from(index + 1 < count)]);
                record.extend(life.to_le_bytes());
                record.extend(number.to_le_bytes());
                record.extend(piece);
                record
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_said_in_parts() {
        for length in [0, 1, LARGEST - HEAD, LARGEST - HEAD + 1, 3 * LARGEST] {
            let content: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let (mut read, mut ended) = (Vec::<u8>::new(), false);
            for (number, record) in (7..).zip(Envelope::write(RecordId { life: 5, number: 7 }, &content)) {
                assert!(record.len() <= LARGEST && !ended);
                let (envelope, piece) = Envelope::read(&record).unwrap();
                assert_eq!(envelope.id, RecordId { life: 5, number });
                read.extend(piece);
                ended = !envelope.goes_on;
            }
            assert!(ended && read == content, "{length}");
        }
        assert!(Envelope::read(&[2; 30]).is_err() && Envelope::read(&[FORMAT; 17]).is_err());
    }
}
