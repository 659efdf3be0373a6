//! MQTT 3.1.1 (OASIS Standard, 29 October 2014) at quality of service 0. A retained message is its header.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};

use super::super::content::{LoadContent, id};
use super::dialect::Dialect;
use super::template::{Template, name};
use super::unit::Unit;

/// MQTT.
pub(crate) struct Mqtt;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 2;
const PUBLISH: u8 = 0x30;
const RETAIN: u8 = 0x01;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 9;
const UNSUBSCRIBE: u8 = 0xa2;
const PINGREQ: u8 = 0xc0;
const PINGRESP: u8 = 13;
/// A code in a SUBACK: refused.
const REFUSED: u8 = 0x80;

impl Dialect for Mqtt {
    fn entrance(&self) -> &'static str {
        "/mqtt"
    }

    fn subprotocol(&self) -> Option<&'static str> {
        Some("mqtt")
    }

    fn hello(&self) -> Vec<u8> {
        // Two clients of one name would throw each other out, also those of two runs.
        static CLIENTS: AtomicU32 = AtomicU32::new(0);
        let client = format!("bench-{}-{}", std::process::id(), CLIENTS.fetch_add(1, Ordering::Relaxed));
        // Level 4 is 3.1.1; clean session; no keep-alive, as no other protocol here has one.
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0x02, 0, 0];
        text(&mut body, &client);
        packet(CONNECT, &body)
    }

    fn listen(&self, stream: usize) -> Vec<u8> {
        let mut body = vec![0, 1];
        text(&mut body, &name(stream));
        body.push(0);
        packet(SUBSCRIBE, &body)
    }

    fn hangup(&self, stream: usize) -> Vec<u8> {
        let mut body = vec![0, 2];
        text(&mut body, &name(stream));
        packet(UNSUBSCRIBE, &body)
    }

    fn ping(&self) -> Vec<u8> {
        vec![PINGREQ, 0]
    }

    fn store(&self, stream: usize, content: &LoadContent) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        text(&mut body, &name(stream));
        body.extend(content.with_id(id(0, 0)));
        Some(packet(PUBLISH | RETAIN, &body))
    }

    fn published(&self, stream: usize, content: &LoadContent) -> Template {
        let mut topic = Vec::new();
        text(&mut topic, &name(stream));
        let mut before = vec![PUBLISH];
        length(&mut before, topic.len() + content.len());
        before.extend(topic);
        Template::from_bytes(&before, content, b"")
    }

    fn delivered(&self, stream: usize, content: &LoadContent) -> Template {
        self.published(stream, content)
    }

    fn unit(&self, bytes: &[u8]) -> Result<Option<(usize, Unit)>> {
        let Some((&kind, rest)) = bytes.split_first() else { return Ok(None) };
        let (mut size, mut at) = (0, 0);
        loop {
            ensure!(at < 4, "a packet length of more than four bytes");
            let Some(byte) = rest.get(at) else { return Ok(None) };
            size |= usize::from(byte & 0x7f) << (7 * at);
            at += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let whole = 1 + at + size;
        let Some(body) = bytes.get(1 + at..whole) else { return Ok(None) };
        let unit = match kind >> 4 {
            3 => Unit::Delivered(whole),
            PINGRESP => Unit::Pong,
            CONNACK if body.last() != Some(&0) => Unit::Failure(format!("connection refused with code {}", body.last().unwrap_or(&0))),
            SUBACK if body.last() == Some(&REFUSED) => Unit::Failure("the broker refused to subscribe".into()),
            _ => Unit::Noise,
        };
        Ok(Some((whole, unit)))
    }
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    length(&mut packet, body.len());
    packet.extend(body);
    packet
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn length(packet: &mut Vec<u8>, mut size: usize) {
    while size > 0x7f {
        packet.push((size & 0x7f) as u8 | 0x80);
        size >>= 7;
    }
    packet.push(size as u8);
}

fn text(body: &mut Vec<u8>, text: &str) {
    body.extend((text.len() as u16).to_be_bytes());
    body.extend(text.as_bytes());
}
