//! JSON lines: this program's own protocol, and the bare relay, which is sent the same lines.

use anyhow::Result;

use super::super::content::{LoadContent, id};
use super::dialect::Dialect;
use super::template::{Template, name};
use super::unit::{Unit, line, lossy};

/// JSON lines, to the broker or to the relay.
pub(crate) struct Lines {
    /// The relay knows two words of its own and copies the rest.
    pub(crate) relay: bool,
}

impl Dialect for Lines {
    fn listen(&self, stream: usize) -> Vec<u8> {
        if self.relay { b"listen\n".to_vec() } else { action("listen", stream) }
    }

    fn hangup(&self, stream: usize) -> Vec<u8> {
        if self.relay { Vec::new() } else { action("hangup", stream) }
    }

    fn ping(&self) -> Vec<u8> {
        // The relay answers the word `listen`, and nothing else.
        if self.relay { Vec::new() } else { b"{\"action\":\"ping\"}\n".to_vec() }
    }

    fn store(&self, stream: usize, content: &LoadContent) -> Option<Vec<u8>> {
        let start = format!("{{\"action\":\"header\",\"stream\":\"{}\",\"message\":", name(stream));
        (!self.relay).then(|| [start.as_bytes(), &content.with_id(id(0, 0)), b"}\n"].concat())
    }

    fn published(&self, stream: usize, content: &LoadContent) -> Template {
        Template::new(&format!("{{\"action\":\"put\",\"stream\":\"{}\",\"message\":", name(stream)), content, "}\n")
    }

    fn delivered(&self, stream: usize, content: &LoadContent) -> Template {
        self.published(stream, content)
    }

    fn unit(&self, bytes: &[u8]) -> Result<Option<(usize, Unit)>> {
        let Some((text, length)) = line(bytes) else { return Ok(None) };
        let unit = if text.starts_with(b"{\"action\":\"put\"") {
            Unit::Delivered(length)
        } else if text.starts_with(b"{\"action\":\"pong\"") || text == b"ok" {
            Unit::Pong
        } else if text.starts_with(b"{\"action\":\"receipt\"") {
            Unit::Noise
        } else {
            Unit::Failure(lossy(text))
        };
        Ok(Some((length, unit)))
    }
}

fn action(action: &str, stream: usize) -> Vec<u8> {
    format!("{{\"action\":\"{action}\",\"stream\":\"{}\"}}\n", name(stream)).into_bytes()
}
