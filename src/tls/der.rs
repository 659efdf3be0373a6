//! The little of DER that it takes to find a name in a certificate: one value behind the other.

/// The tags of X.690 that certificates are made of.
pub(super) mod tag {
    pub(in crate::tls) const BOOLEAN: u8 = 0x01;
    pub(in crate::tls) const OCTETS: u8 = 0x04;
    pub(in crate::tls) const OID: u8 = 0x06;
    pub(in crate::tls) const UTF8: u8 = 0x0c;
    pub(in crate::tls) const PRINTABLE: u8 = 0x13;
    pub(in crate::tls) const IA5: u8 = 0x16;
    pub(in crate::tls) const SEQUENCE: u8 = 0x30;
    pub(in crate::tls) const SET: u8 = 0x31;
}

/// Values that stand one behind the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'d>(pub(super) &'d [u8]);

impl<'d> Values<'d> {
    /// The content of the next value, if it has this tag.
    pub(super) fn next_of(&mut self, tag: u8) -> Option<&'d [u8]> {
        let mut ahead = *self;
        let (found, content) = ahead.next()?;
        (found == tag).then(|| {
            *self = ahead;
            content
        })
    }
}

impl<'d> Iterator for Values<'d> {
    type Item = (u8, &'d [u8]);

    /// The tag and the content of the next value. Ends at what is none.
    fn next(&mut self) -> Option<Self::Item> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // The bytes of the length follow. No certificate needs more than three.
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}
