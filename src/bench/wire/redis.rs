//! Redis publish and subscribe, in RESP 2. It stores nothing for those who join later.

use anyhow::{Context, Result};

use super::super::content::LoadContent;
use super::dialect::Dialect;
use super::template::{Template, name};
use super::unit::{Unit, line, lossy};

/// Redis.
pub(crate) struct Redis;

impl Dialect for Redis {
    fn listen(&self, stream: usize) -> Vec<u8> {
        command("SUBSCRIBE", stream)
    }

    fn hangup(&self, stream: usize) -> Vec<u8> {
        command("UNSUBSCRIBE", stream)
    }

    fn ping(&self) -> Vec<u8> {
        b"*1\r\n$4\r\nPING\r\n".to_vec()
    }

    fn published(&self, stream: usize, content: &LoadContent) -> Template {
        message("PUBLISH", stream, content)
    }

    fn delivered(&self, stream: usize, content: &LoadContent) -> Template {
        message("message", stream, content)
    }

    fn answers_each(&self) -> bool {
        true
    }

    fn unit(&self, bytes: &[u8]) -> Result<Option<(usize, Unit)>> {
        let Some((text, length)) = line(bytes) else { return Ok(None) };
        let unit = match text.first() {
            Some(b':') => Unit::Published,
            Some(b'+') if text == b"+PONG" => Unit::Pong,
            Some(b'+') => Unit::Noise,
            Some(b'*') => return array(bytes, number(text)?, length),
            _ => Unit::Failure(lossy(text)),
        };
        Ok(Some((length, unit)))
    }
}

fn command(verb: &str, stream: usize) -> Vec<u8> {
    let name = name(stream);
    format!("*2\r\n${}\r\n{verb}\r\n${}\r\n{name}\r\n", verb.len(), name.len()).into_bytes()
}

fn message(verb: &str, stream: usize, content: &LoadContent) -> Template {
    let name = name(stream);
    let before = format!("*3\r\n${}\r\n{verb}\r\n${}\r\n{name}\r\n${}\r\n", verb.len(), name.len(), content.len());
    Template::new(&before, content, "\r\n")
}

fn number(text: &[u8]) -> Result<usize> {
    let digits = std::str::from_utf8(&text[1..]).ok().and_then(|digits| digits.parse().ok());
    digits.with_context(|| format!("a length was expected: {}", lossy(text)))
}

/// An array of `items`, of which the first says what it is.
fn array(bytes: &[u8], items: usize, mut at: usize) -> Result<Option<(usize, Unit)>> {
    let mut unit = Unit::Noise;
    for item in 0..items {
        let Some((text, length)) = line(&bytes[at..]) else { return Ok(None) };
        at += length;
        // `$-1` is null, `:1` a number; neither has a body.
        if text.first() == Some(&b'$') && text != b"$-1" {
            let size = number(text)?;
            let Some(body) = bytes.get(at..at + size + 2) else { return Ok(None) };
            at += size + 2;
            match (item, body) {
                (0, b"message\r\n") => unit = Unit::Delivered(0),
                (0, b"pong\r\n") => unit = Unit::Pong,
                _ => {}
            }
        }
    }
    if unit == Unit::Delivered(0) {
        unit = Unit::Delivered(at);
    }
    Ok(Some((at, unit)))
}
