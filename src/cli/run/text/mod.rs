//! What a program writes, as a person reads it: lines, and drawings that replace each other. Pure: the time is given.

mod drawings;
mod figures;
mod lines;

pub(super) use drawings::{Drawings, Shown};
pub(super) use lines::{Lines, Said};
