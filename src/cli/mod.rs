//! The program's subcommands, one module each.

pub(crate) mod bench;
