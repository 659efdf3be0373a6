//! Lines as a client writes them.

use serde::Serialize;

use crate::job::content::{EncodeError, NonFinite, encode_line};
use crate::wire::{Position, Verb};

/// What a client asks for, ready to be written.
pub(crate) struct Request<'a, M: ?Sized, H: ?Sized> {
    pub(crate) action: Verb,
    pub(crate) stream: Option<&'a str>,
    pub(crate) message: Option<&'a M>,
    pub(crate) header: Option<&'a H>,
    pub(crate) receipt: Option<u64>,
}

/// A request without content.
pub(crate) fn bare<'a>(action: Verb, stream: Option<&'a str>, receipt: Option<u64>) -> Request<'a, (), ()> {
    Request { action, stream, message: None, header: None, receipt }
}

impl<M: Serialize + ?Sized, H: Serialize + ?Sized> Request<'_, M, H> {
    /// Appends the line, in the form that the broker passes on without building it again.
    pub(crate) fn write(&self, non_finite: NonFinite, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let written = self.try_write(non_finite, out);
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn try_write(&self, non_finite: NonFinite, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(br#"{"action":""#);
        out.extend_from_slice(self.action.word().as_bytes());
        out.push(b'"');
        if let Some(stream) = self.stream {
            out.extend_from_slice(br#","stream":"#);
            encode_line(stream, non_finite, out)?;
        }
        if let Some(message) = self.message {
            out.extend_from_slice(br#","message":"#);
            encode_line(message, non_finite, out)?;
        }
        if let Some(header) = self.header {
            out.extend_from_slice(br#","header":"#);
            encode_line(header, non_finite, out)?;
        }
        if let Some(receipt) = self.receipt {
            out.extend_from_slice(br#","receipt":"#);
            out.extend_from_slice(receipt.to_string().as_bytes());
        }
        out.extend_from_slice(b"}\n");
        Ok(())
    }
}

/// The action by which a listener joins, or goes on where it was, as a line.
pub(super) fn listen_line(stream: &str, after: Option<Position>, latest: bool, receipt: u64) -> Vec<u8> {
    let mut line = Vec::with_capacity(160);
    // A name is a text, which can always be written.
    let _ = bare(Verb::Listen, Some(stream), Some(receipt)).write(NonFinite::Null, &mut line);
    line.truncate(line.len() - "}\n".len());
    if let Some(Position { epoch, sequence }) = after {
        line.extend_from_slice(format!(",\"after\":{{\"epoch\":\"{epoch}\",\"sequence\":{sequence}}}").as_bytes());
    }
    if latest {
        line.extend_from_slice(br#","mode":"latest""#);
    }
    line.extend_from_slice(b"}\n");
    line
}

/// The action that sets a header alone, as a line: with it a new connection repeats a header, and compares.
pub(super) fn header_line<H: Serialize + ?Sized>(stream: &str, header: Option<&H>, non_finite: NonFinite) -> Result<Vec<u8>, EncodeError> {
    let mut line = Vec::with_capacity(128);
    Request { action: Verb::Header, stream: Some(stream), message: header, header: None::<&()>, receipt: None }
        .write(non_finite, &mut line)?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_that_comes_back_says_where_it_was() {
        let after = Some(Position { epoch: crate::wire::Epoch::new(10), sequence: 7 });
        let begun = r#"{"action":"listen","stream":"a\"b","receipt":3"#;
        let position = r#","after":{"epoch":"000000000000000a","sequence":7}"#;
        for (after, latest, rest) in
            [(after, false, position), (after, true, &*format!("{position},\"mode\":\"latest\"")), (None, false, "")]
        {
            let line = listen_line("a\"b", after, latest, 3);
            assert_eq!(String::from_utf8(line).unwrap(), format!("{begun}{rest}}}\n"));
        }
    }

    #[test]
    fn requests_stand_as_the_broker_passes_them_on() {
        let mut out = Vec::new();
        let put = Request { action: Verb::Put, stream: Some("a"), message: Some(&[1.5]), header: None::<&()>, receipt: None };
        put.write(NonFinite::Refuse, &mut out).unwrap();
        bare(Verb::Ping, None, Some(3)).write(NonFinite::Refuse, &mut out).unwrap();
        let both = Request { action: Verb::Put, stream: Some("a"), message: Some(&1), header: Some(&()), receipt: Some(4) };
        both.write(NonFinite::Refuse, &mut out).unwrap();
        let lost = Request { message: Some(&[f64::NAN]), ..put };
        assert!(lost.write(NonFinite::Refuse, &mut out).is_err());
        let expected = r#"{"action":"put","stream":"a","message":[1.5]}
{"action":"ping","receipt":3}
{"action":"put","stream":"a","message":1,"header":null,"receipt":4}
"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
