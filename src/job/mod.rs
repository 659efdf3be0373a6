//! What messages contain: [`Content`], the value that a message carries, and [`monitor`], the messages of a job.

pub(crate) mod content;
pub mod monitor;

pub use content::{Content, EncodeError, NonFinite, NotFinite, Object};
