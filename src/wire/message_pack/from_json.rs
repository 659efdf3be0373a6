//! Content from JSON text to MessagePack, in one pass and without recursion.
//!
//! What MessagePack has no value for travels as JSON text in an extension of type 74, and loses nothing.

use super::super::json_lines::token::{byte, number, skip_space, string};
use super::form::JSON;
use super::write;

/// Deeper content travels as text: readers of MessagePack recurse, and many stop at about this depth.
pub(super) const DEEPEST: usize = 512;

/// A container whose end has not come.
struct Container {
    object: bool,
    /// Where its head stands in the output, for which one byte was left.
    head: usize,
    /// How many values or pairs have ended in it.
    count: usize,
}

/// A container with more values than a head of one byte can hold.
struct Larger {
    head: usize,
    marker: u8,
    count: usize,
}

/// Appends a JSON text, which is known to be valid, as MessagePack.
pub(super) fn write(text: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let mut larger = Vec::new();
    if convert(text, out, &mut larger).is_none() {
        out.truncate(start);
        write::extension(out, JSON, text);
        return;
    }
    widen(out, &mut larger);
}

/// None if the text does not fit as a whole: too deep, or a key that is no text.
fn convert(text: &[u8], out: &mut Vec<u8>, larger: &mut Vec<Larger>) -> Option<()> {
    let mut containers: Vec<Container> = Vec::new();
    let mut at = 0;
    loop {
        // A value begins here.
        match byte(text, at) {
            b'"' => {
                let end = string(text, at + 1).ok()?;
                let value = text.get(at..end)?;
                if write_string(value, out).is_none() {
                    write::extension(out, JSON, value);
                }
                at = end;
            }
            open @ (b'{' | b'[') => {
                if containers.len() == DEEPEST {
                    return None;
                }
                let container = Container { object: open == b'{', head: out.len(), count: 0 };
                out.push(if container.object { 0x80 } else { 0x90 });
                at = skip_space(text, at + 1);
                if !matches!(byte(text, at), b'}' | b']') {
                    if container.object {
                        at = key(text, at, out)?;
                    }
                    containers.push(container);
                    continue;
                }
                at += 1;
            }
            b't' => {
                out.push(0xc3);
                at += 4;
            }
            b'f' => {
                out.push(0xc2);
                at += 5;
            }
            b'n' => {
                out.push(0xc0);
                at += 4;
            }
            _ => {
                let end = number(text, at).ok()?;
                write_number(text.get(at..end)?, out);
                at = end;
            }
        }
        // A value has ended here, and perhaps the containers around it.
        loop {
            let Some(container) = containers.last_mut() else { return Some(()) };
            container.count += 1;
            at = skip_space(text, at);
            if byte(text, at) == b',' {
                at = skip_space(text, at + 1);
                if container.object {
                    at = key(text, at, out)?;
                }
                break;
            }
            at += 1;
            let Container { object, head, count } = containers.pop()?;
            match out.get_mut(head) {
                Some(short) if count < 16 => *short |= count as u8,
                _ => larger.push(Larger { head, marker: if object { 0xde } else { 0xdc }, count }),
            }
        }
    }
}

/// From the opening quote of a key to where its value begins.
fn key(text: &[u8], at: usize, out: &mut Vec<u8>) -> Option<usize> {
    let end = string(text, at + 1).ok()?;
    write_string(text.get(at..end)?, out)?;
    Some(skip_space(text, skip_space(text, end) + 1))
}

/// A JSON string with its quotes; none, and nothing written, if it holds half a surrogate pair.
fn write_string(quoted: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let inner = quoted.get(1..quoted.len().checked_sub(1)?)?;
    if memchr::memchr(b'\\', inner).is_none() {
        write::text(out, std::str::from_utf8(inner).ok()?);
        return Some(());
    }
    let decoded: String = serde_json::from_slice(quoted).ok()?;
    write::text(out, &decoded);
    Some(())
}

fn write_number(text: &[u8], out: &mut Vec<u8>) {
    if try_number(text, out).is_none() {
        write::extension(out, JSON, text);
    }
}

/// None for a number that neither an integer of 64 bits nor a float can represent.
fn try_number(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let digits = std::str::from_utf8(text).ok()?;
    // As an integer, a zero would lose its sign.
    let float = digits == "-0" || digits.contains(['.', 'e', 'E']);
    if float {
        let number: f64 = digits.parse().ok()?;
        let mantissa = digits.split(['e', 'E']).next().unwrap_or(digits);
        let vanished = number == 0.0 && mantissa.contains(|digit: char| digit.is_ascii_digit() && digit != '0');
        if !number.is_finite() || vanished {
            return None;
        }
        write::float(out, number);
    } else if digits.starts_with('-') {
        write::signed(out, digits.parse().ok()?);
    } else {
        write::unsigned(out, digits.parse().ok()?);
    }
    Some(())
}

/// Gives the larger containers the heads that they need, and moves what follows them, each byte once.
fn widen(out: &mut Vec<u8>, larger: &mut [Larger]) {
    // They were added in the order of their ends.
    larger.sort_unstable_by_key(|container| container.head);
    let width = |count: usize| if count <= 0xffff { 2 } else { 4 };
    let mut from = out.len();
    let mut to = from + larger.iter().map(|container| width(container.count)).sum::<usize>();
    out.resize(to, 0);
    for Larger { head, marker, count } in larger.iter().rev() {
        let content = *head + 1..from;
        to -= content.len();
        from = *head;
        out.copy_within(content, to);
        let width = width(*count);
        to -= 1 + width;
        if let Some(place) = out.get_mut(to..to + 1 + width)
            && let Some((first, rest)) = place.split_first_mut()
        {
            let count = (*count as u32).to_be_bytes();
            *first = if width == 2 { *marker } else { *marker + 1 };
            rest.copy_from_slice(&count[count.len() - width..]);
        }
    }
}
