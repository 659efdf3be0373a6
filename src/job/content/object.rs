//! Objects, as they travel: a class, its version, and the state from which the receiver makes one of its own.

use serde::{Deserialize, Serialize};

/// An object in the form `{".class":"my.message",".version":"0.0",".state":{...}}`.
///
/// ```
/// # use msgstream::job::{Content, Object};
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Fit { chisq: f64 }
///
/// let object = Object { class: "my.Fit".to_owned(), version: "0.1".to_owned(), state: Fit { chisq: 2.5 } };
/// let text = serde_json::to_string(&object)?;
/// assert_eq!(text, r#"{".class":"my.Fit",".version":"0.1",".state":{"chisq":2.5}}"#);
///
/// let back = Content::from_json(&text)?.object().ok_or("not an object")?;
/// assert_eq!(back.class, "my.Fit");
/// assert_eq!(back.state.parse::<Fit>()?.chisq, 2.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object<S> {
    /// The name of the type, which both sides know.
    #[serde(rename = ".class")]
    pub class: String,
    /// The version of the state's format; empty if the sender gave none.
    #[serde(rename = ".version", default)]
    pub version: String,
    /// The data from which the receiver builds the object.
    #[serde(rename = ".state")]
    pub state: S,
}
