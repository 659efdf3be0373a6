//! What a job's author writes: [`content`], the values that messages carry, and [`monitor`], the messages of a job.

pub mod content;
pub mod monitor;
