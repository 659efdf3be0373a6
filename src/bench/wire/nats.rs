//! NATS core, as its client protocol describes it. It stores nothing for those who join later.

use anyhow::{Context, Result};

use super::super::content::LoadContent;
use super::dialect::Dialect;
use super::template::{Template, name};
use super::unit::{Unit, line, lossy};

/// NATS core.
pub(crate) struct Nats;

/// Subscription ids are this much above the stream's number, so that all have as many digits.
const FIRST_SUBSCRIPTION: usize = 1_000_000;

impl Dialect for Nats {
    fn is_greeted_in_clear(&self) -> bool {
        true
    }

    fn hello(&self) -> Vec<u8> {
        b"CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":true}\r\n".to_vec()
    }

    fn listen(&self, stream: usize) -> Vec<u8> {
        format!("SUB {} {}\r\n", name(stream), FIRST_SUBSCRIPTION + stream).into_bytes()
    }

    fn hangup(&self, stream: usize) -> Vec<u8> {
        format!("UNSUB {}\r\n", FIRST_SUBSCRIPTION + stream).into_bytes()
    }

    fn ping(&self) -> Vec<u8> {
        b"PING\r\n".to_vec()
    }

    fn pong(&self) -> &'static [u8] {
        b"PONG\r\n"
    }

    fn published(&self, stream: usize, content: &LoadContent) -> Template {
        Template::new(&format!("PUB {} {}\r\n", name(stream), content.len()), content, "\r\n")
    }

    fn delivered(&self, stream: usize, content: &LoadContent) -> Template {
        Template::new(&format!("MSG {} {} {}\r\n", name(stream), FIRST_SUBSCRIPTION + stream, content.len()), content, "\r\n")
    }

    fn unit(&self, bytes: &[u8]) -> Result<Option<(usize, Unit)>> {
        let Some((text, length)) = line(bytes) else { return Ok(None) };
        let unit = match text.split(|byte| *byte == b' ').next() {
            Some(b"PONG") => Unit::Pong,
            Some(b"PING") => Unit::Ping,
            Some(b"INFO" | b"+OK") => Unit::Noise,
            Some(b"MSG") => {
                let size = text.rsplit(|byte| *byte == b' ').next().and_then(|size| std::str::from_utf8(size).ok());
                let size: usize = size.and_then(|size| size.parse().ok()).context("a MSG line without a size")?;
                let whole = length + size + 2;
                return Ok((bytes.len() >= whole).then_some((whole, Unit::Delivered(whole))));
            }
            _ => Unit::Failure(lossy(text)),
        };
        Ok(Some((length, unit)))
    }
}
