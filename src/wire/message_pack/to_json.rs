//! Content from MessagePack to JSON text, in one pass and without recursion.
//!
//! What JSON has no value for travels as an object with `.class`, `.version` and `.state`, as applications' own objects do.

use super::super::json_lines::scan;
use super::form::JSON;
use super::open::{Next, Open};
use super::token::{Token, token};

/// How many times longer than its MessagePack the JSON may be. Control characters become six times as long, numbers less; only
/// thousands of empty values of types that JSON lacks take more.
const MOST_TIMES: usize = 6;

/// The JSON may always be this long, however short its MessagePack.
const ALWAYS: usize = 16 << 20;

/// Appends a value, which is known to be valid, as JSON text.
pub(super) fn write(value: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let most = start + ALWAYS.max(value.len().saturating_mul(MOST_TIMES));
    if convert(value, out, most).is_none() {
        out.truncate(start);
        object(out, "msgpack", |out| base64_text(out, value));
    }
}

/// None if the text would be longer than `most`.
fn convert(value: &[u8], out: &mut Vec<u8>, most: usize) -> Option<()> {
    let mut open = Open::new();
    let mut at = 0;
    loop {
        let (token, next) = token(value, at).ok()?;
        at = next;
        let (values, map) = match token {
            Token::Array(count) => (count, false),
            Token::Map(count) => (count.saturating_mul(2), true),
            _ if open.at_key() => {
                key(token, out)?;
                (0, false)
            }
            Token::Nil
            | Token::Bool(_)
            | Token::Int(_)
            | Token::Large(_)
            | Token::Float32(_)
            | Token::Float64(_)
            | Token::Text(_)
            | Token::Binary(_)
            | Token::Extension(..) => {
                scalar(token, out);
                (0, false)
            }
        };
        if out.len() > most {
            return None;
        }
        match token {
            Token::Array(_) | Token::Map(_) if values > 0 => {
                out.push(if map { b'{' } else { b'[' });
                open.enter(values, map);
                continue;
            }
            Token::Array(_) => out.extend_from_slice(b"[]"),
            Token::Map(_) => out.extend_from_slice(b"{}"),
            _ => {}
        }
        loop {
            match open.next() {
                Next::Value { map: true, key: false } => out.push(b':'),
                Next::Value { .. } => out.push(b','),
                Next::End { map } => {
                    out.push(if map { b'}' } else { b']' });
                    continue;
                }
                Next::Nothing => return Some(()),
            }
            break;
        }
    }
}

/// A key: a text, or an integer as decimal text. The validator lets no other pass.
fn key(token: Token<'_>, out: &mut Vec<u8>) -> Option<()> {
    match token {
        Token::Text(text) => json(out, &String::from_utf8_lossy(text)),
        Token::Int(number) => json(out, &number.to_string()),
        Token::Large(number) => json(out, &number.to_string()),
        Token::Nil
        | Token::Bool(_)
        | Token::Float32(_)
        | Token::Float64(_)
        | Token::Binary(_)
        | Token::Extension(..)
        | Token::Array(_)
        | Token::Map(_) => return None,
    }
    Some(())
}

fn scalar(token: Token<'_>, out: &mut Vec<u8>) {
    match token {
        Token::Nil | Token::Array(_) | Token::Map(_) => out.extend_from_slice(b"null"),
        Token::Bool(true) => out.extend_from_slice(b"true"),
        Token::Bool(false) => out.extend_from_slice(b"false"),
        Token::Int(number) => json(out, &number),
        Token::Large(number) => json(out, &number),
        Token::Float32(number) => float(out, f64::from(number)),
        Token::Float64(number) => float(out, number),
        Token::Text(text) => json(out, &String::from_utf8_lossy(text)),
        Token::Binary(data) => object(out, "bytes", |out| base64_text(out, data)),
        Token::Extension(JSON, text) if scan::value(text, 0) == Ok(text.len()) => {
            let start = out.len();
            out.extend_from_slice(text);
            // A line end can only stand between the tokens, and would end the listener's line.
            for end in out.iter_mut().skip(start).filter(|byte| **byte == b'\n') {
                *end = b' ';
            }
        }
        Token::Extension(kind, data) => object(out, "ext", |out| {
            out.extend_from_slice(br#"{"type":"#);
            json(out, &kind);
            out.extend_from_slice(br#","data":"#);
            base64_text(out, data);
            out.push(b'}');
        }),
    }
}

fn float(out: &mut Vec<u8>, number: f64) {
    if number.is_finite() {
        return json(out, &number);
    }
    let name = match number {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    };
    object(out, "float", |out| json(out, name));
}

/// An object of a class of the protocol's own.
fn object(out: &mut Vec<u8>, class: &str, state: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(br#"{".class":"#);
    json(out, class);
    out.extend_from_slice(br#",".version":"1.0",".state":"#);
    state(out);
    out.push(b'}');
}

fn json(out: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    // A text or number can always be written, and a vector always be written to.
    let _ = serde_json::to_writer(out, value);
}

/// Base64 (RFC 4648, section 4) in quotes.
fn base64_text(out: &mut Vec<u8>, data: &[u8]) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.push(b'"');
    for three in data.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = (bits >> (18 - 6 * place)) & 0x3f;
            out.push(if place <= three.len() { LETTERS[letter as usize] } else { b'=' });
        }
    }
    out.push(b'"');
}
