//! Finds the number that JSON does not have, and says where it stands.
//!
//! A walk over a value by its own `Serialize`, which writes nothing.

use std::fmt::{self, Display};

use serde::ser::{self, Serialize};

/// NaN or an infinity, which JSON does not have.
///
/// ```
/// # use msgstream::job::EncodeError;
/// # use msgstream::local::{LocalError, MessageStream};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let rates = std::collections::BTreeMap::from([("rates", [1.0, f64::NEG_INFINITY])]);
/// let refused = MessageStream::new().put("job-1", &rates).await;
/// let Err(LocalError::Encode(EncodeError::NotFinite(found))) = refused else { panic!() };
/// assert_eq!((found.path.as_str(), found.number), ("rates[1]", "-Infinity"));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is {number}, which JSON does not have: send null or a string instead, or use NonFinite::Null to send null", if path.is_empty() { "the message" } else { path })]
#[non_exhaustive]
pub struct NotFinite {
    /// Its place, such as `losses[3].value`; empty if it is the whole value.
    pub path: String,
    /// `NaN`, `Infinity` or `-Infinity`.
    pub number: &'static str,
}

/// Looks through the whole value.
pub(super) fn check<T: Serialize + ?Sized>(value: &T) -> Result<(), NotFinite> {
    match value.serialize(Walk) {
        Err(Found::Number(found)) => Err(found),
        // What the value says of itself was said when it was encoded.
        Ok(()) | Err(Found::Other) => Ok(()),
    }
}

#[derive(Debug)]
enum Found {
    Number(NotFinite),
    Other,
}

impl Found {
    /// The same, seen from one level further out.
    fn below(self, step: &str) -> Self {
        match self {
            Self::Number(NotFinite { path, number }) => {
                let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
                Self::Number(NotFinite { path: format!("{step}{dot}{path}"), number })
            }
            Self::Other => Self::Other,
        }
    }
}

impl Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("found")
    }
}

impl std::error::Error for Found {}

impl ser::Error for Found {
    fn custom<T: Display>(_: T) -> Self {
        Self::Other
    }
}

struct Walk;

/// A walk through something with parts: how far it is, and below which name.
struct Compound {
    index: usize,
    key: String,
    /// The variant of an enum, which is a level of its own in JSON.
    variant: Option<&'static str>,
}

impl Compound {
    fn new(variant: Option<&'static str>) -> Self {
        Self { index: 0, key: String::new(), variant }
    }

    fn part<T: Serialize + ?Sized>(&self, step: &str, value: &T) -> Result<(), Found> {
        value.serialize(Walk).map_err(|found| match self.variant {
            Some(variant) => found.below(step).below(variant),
            None => found.below(step),
        })
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Found> {
        let step = format!("[{}]", self.index);
        self.index += 1;
        self.part(&step, value)
    }
}

macro_rules! nothing_to_find {
    ($($name:ident($($argument:ty),*);)*) => {
        $(fn $name(self, $(_: $argument),*) -> Result<(), Found> { Ok(()) })*
    };
}

impl ser::Serializer for Walk {
    type Ok = ();
    type Error = Found;
    type SerializeSeq = Compound;
    type SerializeTuple = Compound;
    type SerializeTupleStruct = Compound;
    type SerializeTupleVariant = Compound;
    type SerializeMap = Compound;
    type SerializeStruct = Compound;
    type SerializeStructVariant = Compound;

    nothing_to_find! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(&'static str);
        serialize_unit_variant(&'static str, u32, &'static str);
    }

    fn serialize_f32(self, number: f32) -> Result<(), Found> {
        self.serialize_f64(f64::from(number))
    }

    fn serialize_f64(self, number: f64) -> Result<(), Found> {
        let name = if number.is_nan() {
            "NaN"
        } else if number == f64::INFINITY {
            "Infinity"
        } else if number == f64::NEG_INFINITY {
            "-Infinity"
        } else {
            return Ok(());
        };
        Err(Found::Number(NotFinite { path: String::new(), number: name }))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Found> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Found> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Found> {
        value.serialize(self).map_err(|found| found.below(variant))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Compound, Found> {
        Ok(Compound::new(None))
    }

    fn serialize_tuple(self, _: usize) -> Result<Compound, Found> {
        Ok(Compound::new(None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Compound, Found> {
        Ok(Compound::new(None))
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Compound, Found> {
        Ok(Compound::new(Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Compound, Found> {
        Ok(Compound::new(None))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Compound, Found> {
        Ok(Compound::new(None))
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Compound, Found> {
        Ok(Compound::new(Some(variant)))
    }
}

macro_rules! items {
    ($($trait:ident $method:ident;)*) => {
        $(impl ser::$trait for Compound {
            type Ok = ();
            type Error = Found;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Found> {
                self.item(value)
            }

            fn end(self) -> Result<(), Found> {
                Ok(())
            }
        })*
    };
}

items! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

macro_rules! fields {
    ($($trait:ident;)*) => {
        $(impl ser::$trait for Compound {
            type Ok = ();
            type Error = Found;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Found> {
                self.part(key, value)
            }

            fn end(self) -> Result<(), Found> {
                Ok(())
            }
        })*
    };
}

fields! {
    SerializeStruct;
    SerializeStructVariant;
}

impl ser::SerializeMap for Compound {
    type Ok = ();
    type Error = Found;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Found> {
        // Keys are texts and numbers; any other key was refused when the value was encoded.
        self.key = serde_json::to_string(key).map(|text| text.trim_matches('"').to_owned()).unwrap_or_default();
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Found> {
        self.part(&self.key, value)
    }

    fn end(self) -> Result<(), Found> {
        Ok(())
    }
}
