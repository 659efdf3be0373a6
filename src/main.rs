//! The `msgstream` program.

fn main() {}
