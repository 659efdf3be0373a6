//! A stream as server-sent events, as a listener reads them; and nchan, which knows no more than contents.
//!
//! A listener hears one stream, which its path names. So what it reads is the stream's name, a blank, and the content.

use anyhow::{Context, Result};

use super::super::content::LoadContent;
use super::dialect::Dialect;
use super::template::{Template, name};
use super::unit::{Unit, line, lossy};

/// This program's own stream by HTTP.
pub(crate) struct Events;

/// nginx with nchan: publishing by POST, listening by WebSocket or events.
pub(crate) struct Nchan;

impl Dialect for Events {
    fn path(&self, stream: usize) -> Option<String> {
        Some(format!("/api/streams/{}/events", name(stream)))
    }

    fn label(&self, stream: usize) -> String {
        label(stream)
    }

    fn tells_joins(&self) -> bool {
        true
    }

    fn published(&self, stream: usize, content: &LoadContent) -> Template {
        self.delivered(stream, content)
    }

    fn delivered(&self, stream: usize, content: &LoadContent) -> Template {
        Template::new(&label(stream), content, "\n")
    }

    fn unit(&self, bytes: &[u8]) -> Result<Option<(usize, Unit)>> {
        labelled(bytes)
    }
}

impl Dialect for Nchan {
    fn path(&self, stream: usize) -> Option<String> {
        Some(format!("/listen/{}", name(stream)))
    }

    fn label(&self, stream: usize) -> String {
        label(stream)
    }

    fn published(&self, stream: usize, content: &LoadContent) -> Template {
        let head = format!("POST /publish/{} HTTP/1.1\r\nHost: bench\r\nContent-Length: {}\r\n\r\n", name(stream), content.len());
        Template::new(&head, content, "")
    }

    fn delivered(&self, stream: usize, content: &LoadContent) -> Template {
        Template::new(&label(stream), content, "\n")
    }

    fn answers_each(&self) -> bool {
        true
    }

    fn unit(&self, bytes: &[u8]) -> Result<Option<(usize, Unit)>> {
        if !bytes.starts_with(b"HTTP/") {
            return labelled(bytes);
        }
        let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).context("an answer without a length")?;
        let whole = head + 4 + length.trim().parse::<usize>().context("an answer's length")?;
        let unit = match text.split(' ').nth(1) {
            Some("201" | "202") => Unit::Published,
            _ => Unit::Failure(lossy(bytes)),
        };
        Ok((bytes.len() >= whole).then_some((whole, unit)))
    }
}

fn label(stream: usize) -> String {
    format!("{} ", name(stream))
}

fn labelled(bytes: &[u8]) -> Result<Option<(usize, Unit)>> {
    let Some((text, length)) = line(bytes) else { return Ok(None) };
    let unit = if text.starts_with(b"event joined ") {
        Unit::Pong
    } else if text.starts_with(b"event ") {
        Unit::Failure(lossy(text))
    } else {
        Unit::Delivered(length)
    };
    Ok(Some((length, unit)))
}
