//! The door to what is the crate's own: for its program, tests, benches and fuzz targets, and for nobody else. Semantic
//! versioning does not cover it: what is here may change in any release.

/// What is said between a client and a broker.
pub mod wire {
    pub use crate::wire::*;
}

/// A client over a transport that is not the system's.
pub mod client {
    pub use crate::client::address::{ByteStream, Connecting, Connector};
    use crate::client::{Options, RemoteStream};

    /// A client that connects in the background, as [`RemoteStream::start`] does.
    pub fn start_over(connector: impl Connector, options: Options) -> RemoteStream {
        RemoteStream::start_over(connector, options)
    }
}

/// The parts of a broker.
#[cfg(feature = "broker")]
pub mod broker {
    pub use crate::broker::assemble::assemble;
    #[cfg(feature = "store")]
    pub use crate::broker::assemble::keep_without_thread;

    /// Who may do what.
    pub mod access {
        pub use crate::broker::access::*;
    }

    /// The one owner of the core.
    pub mod actor {
        pub use crate::broker::actor::*;
    }

    /// The life of one connection.
    pub mod connection {
        pub use crate::broker::connection::*;
    }

    /// Every stream's header and listeners.
    pub mod core {
        pub use crate::broker::core::*;
    }

    /// The file of what is kept beyond one life of the broker.
    #[cfg(feature = "store")]
    pub mod store {
        pub use crate::broker::store::*;
    }

    /// The log of a space, on NATS JetStream.
    #[cfg(feature = "nodes")]
    pub mod nats {
        pub use crate::broker::nats::*;
    }

    /// What several brokers have in common.
    pub mod space {
        pub use crate::broker::space::*;
    }

    /// What waits to be sent to one connection.
    pub mod outbox {
        pub use crate::broker::outbox::*;
    }
}

/// The program.
#[cfg(feature = "cli")]
pub mod cli {
    pub use crate::cli::{config, main};
}
