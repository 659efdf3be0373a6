//! Somebody whom the broker knows: by a name, by what proves it, and with rights.

use std::fmt;
use std::hint::black_box;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use crate::wire::Token;

use super::rights::Rights;

/// The SHA-256 of a token. A token has so much chance in it that nobody finds it from this.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of a token.
    pub fn of(token: &Token) -> Self {
        Self(Sha256::digest(token.as_str()).into())
    }

    /// Of its 64 digits.
    pub fn from_hex(digits: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let digit = |at: usize| pair.get(at).and_then(|digit| char::from(*digit).to_digit(16));
            *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
        }
        Some(Self(bytes))
    }

    /// The first of its bits.
    pub(super) fn beginning(&self) -> u64 {
        self.0.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }

    /// Whether both are the same. It takes as long whatever they are.
    fn is_same(&self, other: &Self) -> bool {
        let difference = self.0.iter().zip(other.0).fold(0, |difference, (one, other)| difference | (one ^ other));
        // So that the compiler does not stop at the first byte that differs.
        black_box(difference) == 0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The beginning is enough to tell one from another.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

/// What proves that somebody is who they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Proof {
    /// A token with this digest.
    Token(Digest),
    /// A Unix socket whose other end is this user's.
    UnixUser(u32),
    /// A client certificate with this name.
    Certificate(Box<str>),
}

/// Somebody whom the broker knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name, for people.
    pub name: Box<str>,
    /// What proves it.
    pub proof: Proof,
    /// From then on it counts no more.
    pub expires: Option<SystemTime>,
    /// What it may do.
    pub rights: Rights,
}

impl Identity {
    /// Whether its time is over.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// The one of the identities that the token proves, expired or not. Looks at all of them, so that the time it takes tells nothing.
pub(super) fn proven_by<'i, T: AsRef<Identity>>(identities: &'i [T], token: &Token) -> Option<&'i T> {
    let given = Digest::of(token);
    let mut found = None;
    for identity in identities {
        if let Proof::Token(digest) = &identity.as_ref().proof
            && digest.is_same(&given)
        {
            found = Some(identity);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_every_other_program() {
        // As `printf abc | sha256sum` prints it.
        let digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let digest = Digest::of(&Token::new("abc").unwrap());
        assert_eq!(digest.to_string(), digits);
        assert_eq!(Digest::from_hex(digits), Some(digest));
        assert_eq!(Digest::from_hex(&digits.to_uppercase()), Some(digest));
        assert!(digest.is_same(&digest));
        let mut other = digest;
        other.0[31] ^= 1;
        assert!(!digest.is_same(&other));
        for bad in [&digits[1..], "", &digits.replace('b', "g"), &format!("{digits}0"), &digits.replace("ba", "\u{e9}")] {
            assert_eq!(Digest::from_hex(bad), None, "{bad}");
        }
        assert_eq!(format!("{digest:?}"), "Digest(ba78..)");
    }
}
