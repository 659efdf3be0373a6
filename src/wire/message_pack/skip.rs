//! The validator: whether bytes are one MessagePack value that can be given to listeners of any encoding, and where it ends.
//! It stores and converts nothing, and goes to any depth without recursion.

use super::fault::{Fault, What};
use super::open::{Next, Open};
use super::token::{Token, token};

/// The end of the value that begins at `start`.
///
/// Texts must be UTF-8, and the keys of maps texts or integers: a listener may speak JSON, which has no others.
pub(super) fn value(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let mut open = Open::new();
    let mut at = start;
    loop {
        let (token, next) = token(bytes, at)?;
        if open.at_key() && !matches!(token, Token::Text(_) | Token::Int(_) | Token::Large(_)) {
            return Err(What::Key.at(at));
        }
        let values = match token {
            Token::Text(text) => {
                check_text(text, next)?;
                0
            }
            Token::Array(count) => count,
            Token::Map(count) => count.saturating_mul(2),
            Token::Nil
            | Token::Bool(_)
            | Token::Int(_)
            | Token::Large(_)
            | Token::Float32(_)
            | Token::Float64(_)
            | Token::Binary(_)
            | Token::Extension(..) => 0,
        };
        // Each value takes at least a byte, so a head that announces more values than there are bytes is wrong.
        if values > bytes.len().saturating_sub(next) {
            return Err(What::TooShort.at(at));
        }
        at = next;
        if values > 0 {
            open.enter(values, matches!(token, Token::Map(_)));
            continue;
        }
        loop {
            match open.next() {
                Next::Value { .. } => break,
                Next::End { .. } => {}
                Next::Nothing => return Ok(at),
            }
        }
    }
}

/// Whether a text that ends at an offset is UTF-8.
#[inline]
fn check_text(text: &[u8], end: usize) -> Result<(), Fault> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(What::Utf8.at(end - text.len() + error.valid_up_to())),
    }
}
