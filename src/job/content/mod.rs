//! What messages and headers carry: any JSON value, and objects in the `.class/.version/.state` form.
//!
//! Encoding refuses what JSON cannot say ([`NotFinite`]) instead of changing it. Knows nothing of streams or the wire.

mod encode;
mod finite;
mod object;

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

pub(crate) use encode::encode_line;
pub use encode::{EncodeError, NonFinite};
pub use finite::NotFinite;
pub use object::Object;

/// The content of a message or header: JSON text, byte for byte as its publisher sent it. Cheap to clone.
///
/// ```
/// # use msgstream::job::Content;
/// let content = Content::from_json("{\"loss\": 1.10}")?;
/// assert_eq!(content.as_str(), "{\"loss\": 1.10}");
/// let value: serde_json::Value = content.parse()?;
/// assert_eq!(value["loss"], 1.1);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct Content(Arc<RawValue>);

impl Content {
    /// Makes content from JSON text, which stays unchanged.
    ///
    /// # Errors
    /// If the text is not one JSON value.
    ///
    /// ```
    /// # use msgstream::job::Content;
    /// assert_eq!(Content::from_json("[1, 2]")?, "[1, 2]");
    /// assert!(Content::from_json("[1, 2").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_json(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str::<&RawValue>(text).map(Self::from)
    }

    /// The JSON text.
    ///
    /// ```
    /// # use msgstream::job::Content;
    /// // More than a float can hold, and still what the publisher sent.
    /// assert_eq!(Content::from_json("18446744073709551617")?.as_str(), "18446744073709551617");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Deserializes the content.
    ///
    /// # Errors
    /// If the text does not fit the type.
    ///
    /// ```
    /// # use msgstream::job::Content;
    /// #[derive(serde::Deserialize)]
    /// struct Step {
    ///     k: u32,
    /// }
    ///
    /// assert_eq!(Content::from_json("{\"k\":3}")?.parse::<Step>()?.k, 3);
    /// assert!(Content::from_json("3")?.parse::<Step>().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(self.as_str())
    }

    /// The content as an [`Object`], if it has that form.
    ///
    /// ```
    /// # use msgstream::job::Content;
    /// let content = Content::from_json(r#"{".class":"my.Fit",".version":"0.1",".state":{"chisq":2.5}}"#)?;
    /// let object = content.object().ok_or("not an object")?;
    /// assert_eq!((object.class.as_str(), object.version.as_str()), ("my.Fit", "0.1"));
    /// assert_eq!(object.state, r#"{"chisq":2.5}"#);
    /// assert!(Content::from_json("7")?.object().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn object(&self) -> Option<Object<Content>> {
        // Most content is something else: looking for the key first is much quicker than failing to parse.
        if !self.as_str().contains("\".class\"") {
            return None;
        }
        let object: Object<Box<RawValue>> = serde_json::from_str(self.as_str()).ok()?;
        Some(Object { class: object.class, version: object.version, state: Self(object.state.into()) })
    }
}

impl From<&RawValue> for Content {
    fn from(value: &RawValue) -> Self {
        Self(value.to_owned().into())
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Equal when the text is: `1.0` and `1.00` differ.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Content {}

impl PartialEq<str> for Content {
    fn eq(&self, text: &str) -> bool {
        self.as_str() == text
    }
}

impl PartialEq<&str> for Content {
    fn eq(&self, text: &&str) -> bool {
        self.as_str() == *text
    }
}
