//! What a job's author writes: [`Content`], the values that messages carry, and [`monitor`], the messages of a job.

pub(crate) mod content;
pub mod monitor;

pub use content::{Content, EncodeError, NonFinite, NotFinite, Object};
