//! MessagePack, this program's own other encoding: maps, each behind its length in four bytes.

use anyhow::Result;

use super::super::content::{ContentKind, LoadContent, id};
use super::dialect::Dialect;
use super::template::{NAME, STREAM_DIGITS, Template, name};
use super::unit::{Unit, lossy};

/// MessagePack.
pub(crate) struct Msgpack;

/// How many bytes say how long a unit is.
const PREFIX: usize = size_of::<u32>();
/// No broker takes or sends units as long as this. Text, which is what another protocol would begin with, is as long or longer.
const TOO_LONG: usize = 1 << 30;
/// A stream's name is a short string.
const STREAM: &[u8] = b"\xa6stream\xac";
const _: () = assert!(STREAM[7] == 0xa0 | (NAME.len() + STREAM_DIGITS) as u8);

impl Dialect for Msgpack {
    fn content(&self, kind: ContentKind, size: usize) -> Result<LoadContent> {
        LoadContent::message_pack(kind, size)
    }

    fn listen(&self, stream: usize) -> Vec<u8> {
        unit(&[&b"\x82\xa6action\xa6listen"[..], STREAM, name(stream).as_bytes()].concat())
    }

    fn hangup(&self, stream: usize) -> Vec<u8> {
        unit(&[&b"\x82\xa6action\xa6hangup"[..], STREAM, name(stream).as_bytes()].concat())
    }

    fn ping(&self) -> Vec<u8> {
        unit(b"\x81\xa6action\xa4ping")
    }

    fn store(&self, stream: usize, content: &LoadContent) -> Option<Vec<u8>> {
        let head = [&b"\x83\xa6action\xa6header"[..], STREAM, name(stream).as_bytes(), b"\xa7message"].concat();
        Some(unit(&[&head[..], &content.with_id(id(0, 0))].concat()))
    }

    fn published(&self, stream: usize, content: &LoadContent) -> Template {
        let head = [&b"\x83\xa6action\xa3put"[..], STREAM, name(stream).as_bytes(), b"\xa7message"].concat();
        let length = (head.len() + content.len()) as u32;
        Template::from_bytes(&[&length.to_be_bytes()[..], &head].concat(), content, b"")
    }

    fn delivered(&self, stream: usize, content: &LoadContent) -> Template {
        self.published(stream, content)
    }

    fn unit(&self, bytes: &[u8]) -> Result<Option<(usize, Unit)>> {
        let Some(prefix) = bytes.first_chunk() else { return Ok(None) };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length >= TOO_LONG {
            return Ok(Some((bytes.len(), Unit::Failure(lossy(bytes)))));
        }
        let Some(body) = bytes.get(PREFIX..PREFIX + length) else { return Ok(None) };
        let unit = if body.starts_with(b"\x83\xa6action\xa3put") {
            Unit::Delivered(PREFIX + length)
        } else if body.get(1..).is_some_and(|body| body.starts_with(b"\xa6action\xa4pong")) {
            Unit::Pong
        } else if body.get(1..).is_some_and(|body| body.starts_with(b"\xa6action\xa7receipt")) {
            Unit::Noise
        } else {
            Unit::Failure(words(body))
        };
        Ok(Some((PREFIX + length, unit)))
    }
}

fn unit(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[..], body].concat()
}

/// What can be read in a unit, the strings, for people.
fn words(body: &[u8]) -> String {
    let words = lossy(body).replace(|c: char| !(' '..='~').contains(&c), " ");
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}
