//! Binds, accepts, drains.

mod settings;

pub use settings::{Address, BadAddress, DEFAULT_PORT, RuntimeSettings, TcpSettings, UnixSettings};
