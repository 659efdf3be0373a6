//! From values to JSON text on one line.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use super::finite::{self, NotFinite};

/// How to encode NaN and infinities, which JSON does not have.
///
/// ```
/// # use msgstream::job::NonFinite;
/// # use msgstream::local::MessageStream;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let losses = [0.5, f64::INFINITY];
/// let broker = MessageStream::new();
/// assert!(broker.put("job-1", &losses).await.is_err());
/// // Listeners receive [0.5,null].
/// broker.non_finite(NonFinite::Null).put("job-1", &losses).await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum NonFinite {
    /// Encoding fails, and the error names the place of the number.
    #[default]
    Refuse,
    /// They are written as `null`, as `serde_json` does.
    Null,
}

/// A value that could not be written as JSON.
///
/// ```
/// # use std::collections::BTreeMap;
/// # use msgstream::job::EncodeError;
/// # use msgstream::local::{LocalError, MessageStream};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let broker = MessageStream::new();
/// let nan = broker.put("job-1", &f64::NAN).await;
/// assert!(matches!(nan, Err(LocalError::Encode(EncodeError::NotFinite(_)))));
/// // The keys of an object are texts.
/// let odd = broker.put("job-1", &BTreeMap::from([([1, 2], "value")])).await;
/// assert!(matches!(odd, Err(LocalError::Encode(EncodeError::Json(_)))));
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// It holds a number that JSON does not have.
    #[error(transparent)]
    NotFinite(#[from] NotFinite),
    /// Its own serialization failed.
    #[error("the message cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Appends `value` to `out` as JSON text without line ends.
///
/// A [`RawValue`](serde_json::value::RawValue) goes through byte for byte, except that a line end between its tokens
/// becomes a blank, since a line end would end the message.
///
/// # Errors
/// [`EncodeError`]; then `out` is as it was before.
pub(crate) fn encode_line<T: Serialize + ?Sized>(value: &T, non_finite: NonFinite, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let mut formatter = SeesNull { nulls: 0 };
    let encoded = value.serialize(&mut Serializer::with_formatter(&mut *out, &mut formatter)).map_err(EncodeError::from);
    // The search for such numbers costs a second walk, so it is only made if one may have become null.
    let checked = encoded.and_then(|()| match non_finite {
        NonFinite::Refuse if formatter.nulls > 0 => finite::check(value).map_err(EncodeError::from),
        NonFinite::Refuse | NonFinite::Null => Ok(()),
    });
    if checked.is_err() {
        out.truncate(start);
        return checked;
    }
    // JSON has line ends between tokens only, where any blank says the same.
    for byte in out.get_mut(start..).unwrap_or_default() {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    Ok(())
}

/// Writes compactly and counts the nulls.
struct SeesNull {
    nulls: usize,
}

impl Formatter for &mut SeesNull {
    fn write_null<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.nulls += 1;
        CompactFormatter.write_null(writer)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::value::RawValue;

    use super::*;

    fn encoded(value: &impl Serialize) -> Result<String, String> {
        let mut out = b"before".to_vec();
        let done = encode_line(value, NonFinite::Refuse, &mut out);
        let text = String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned();
        done.map(|()| text.clone()).map_err(|error| {
            assert_eq!(text, "", "a refused value leaves nothing behind");
            error.to_string()
        })
    }

    #[test]
    fn nulls_are_fine_and_numbers_that_are_none_are_named() {
        #[derive(Serialize)]
        struct Epoch {
            loss: Option<f64>,
            rates: Vec<f32>,
        }
        #[derive(Serialize)]
        enum Stage {
            Done(f64, f64),
            Going { at: f64 },
        }
        assert_eq!(encoded(&Epoch { loss: None, rates: vec![1.5] }), Ok(r#"{"loss":null,"rates":[1.5]}"#.to_owned()));
        let starts = |value: Result<String, String>, start: &str| {
            let error = value.unwrap_err();
            assert!(error.starts_with(start), "{error}");
        };
        starts(encoded(&Epoch { loss: Some(f64::NAN), rates: vec![] }), "loss is NaN");
        starts(encoded(&Epoch { loss: None, rates: vec![1.0, f32::NEG_INFINITY] }), "rates[1] is -Infinity");
        starts(encoded(&vec![BTreeMap::from([(7, Stage::Done(1.0, f64::INFINITY))])]), "[0].7.Done[1] is Infinity");
        starts(encoded(&Stage::Going { at: f64::NAN }), "Going.at is NaN");
        starts(encoded(&f64::NAN), "the message is NaN");
    }

    #[test]
    fn null_on_request() {
        let mut out = Vec::new();
        encode_line(&[f64::NAN], NonFinite::Null, &mut out).unwrap();
        assert_eq!(out, b"[null]");
    }

    #[test]
    fn raw_text_goes_through_on_one_line() {
        let raw: Box<RawValue> = serde_json::from_str("{\"a\":\n 1.10,\r\n\"b\" : 1e400, \"a\":\"\\n\"}").unwrap();
        assert_eq!(encoded(&raw).unwrap(), "{\"a\":  1.10,  \"b\" : 1e400, \"a\":\"\\n\"}");
    }
}
