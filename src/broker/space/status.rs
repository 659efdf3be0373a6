//! How a node does, as it tells the others.

use crate::broker::rows::{Fault, Row};

use super::fields::{read_text, write_text};

/// How a node does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Where its clients find it.
    pub addresses: Vec<String>,
    /// The version of the program.
    pub version: String,
    /// How many connections it has.
    pub connections: u64,
    /// How many listens of streams its connections have.
    pub listeners: u64,
    /// How many messages it has taken from its clients.
    pub messages: u64,
}

impl Status {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(u32::try_from(self.addresses.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.addresses.iter().chain([&self.version]).for_each(|text| write_text(text, out));
        [self.connections, self.listeners, self.messages].iter().for_each(|number| out.extend(number.to_le_bytes()));
    }

    pub(super) fn read(row: &mut Row<'_>) -> Result<Self, Fault> {
        let addresses = (0..row.u32()?).map(|_| read_text(row)).collect::<Result<_, _>>()?;
        Ok(Self { addresses, version: read_text(row)?, connections: row.u64()?, listeners: row.u64()?, messages: row.u64()? })
    }
}
