//! What is spoken at an address, as far as accepting needs to know: the protocol in one of its encodings, or anything else that serves
//! connections.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::broker::access::Place;
use crate::broker::connection::{self, ConnectionContext, Transport};
use crate::wire::{Codec, Encoding, ErrorCode, Event};

use super::control::Newcomers;

/// What is spoken at an address.
pub(super) trait Spoken: Clone + Send + Sync + 'static {
    /// What its connections share.
    fn context(&self, newcomers: &Newcomers) -> Arc<ConnectionContext>;

    /// The last word to a connection that there will not be.
    fn close(&self, code: ErrorCode, reason: &str) -> Vec<u8>;

    /// What is to be done at an address where TLS is spoken, by a client that does not.
    #[cfg(feature = "tls")]
    fn without_tls(&self) -> &'static str;

    /// Serves a connection, which counts as one until it ends.
    fn serve<T: Transport>(&self, transport: T, admitted: Admitted) -> impl Future<Output = ()> + Send + 'static;

    /// Does what little is done for a connection that there is no room for, in a time that is bounded. It comes back if it is to be told
    /// that there is none.
    fn serve_without_room<T: Transport>(
        &self,
        transport: T,
        _: Arc<ConnectionContext>,
    ) -> impl Future<Output = Option<T>> + Send + 'static {
        std::future::ready(Some(transport))
    }
}

/// What a connection has that may be served.
pub(super) struct Admitted {
    pub(super) context: Arc<ConnectionContext>,
    /// Its place among those that have yet to say who they are, if it has one already.
    pub(super) place: Option<Place>,
    pub(super) counted: Counted,
}

/// The protocol, in one encoding.
pub(super) struct Encoded<C>(pub(super) Encoding, PhantomData<fn() -> C>);

impl<C> Encoded<C> {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self(encoding, PhantomData)
    }
}

impl<C> Clone for Encoded<C> {
    fn clone(&self) -> Self {
        Self(self.0, PhantomData)
    }
}

impl<C: Codec + Default> Spoken for Encoded<C> {
    fn context(&self, newcomers: &Newcomers) -> Arc<ConnectionContext> {
        newcomers.context(self.0)
    }

    fn close(&self, code: ErrorCode, reason: &str) -> Vec<u8> {
        let mut line = Vec::new();
        C::default().encoder().encode(&Event::CloseConnection { why: Some((code, reason)) }, &mut line);
        line
    }

    #[cfg(feature = "tls")]
    fn without_tls(&self) -> &'static str {
        "this address speaks TLS; connect to it with tls:// before the host, or to one without TLS"
    }

    fn serve<T: Transport>(&self, transport: T, admitted: Admitted) -> impl Future<Output = ()> + Send + 'static {
        let Admitted { context, place, counted } = admitted;
        let connection = connection::serve_placed(transport, C::default(), context, place);
        async move {
            let _counted = counted;
            connection.await;
        }
    }
}

/// Counts one up for as long as it lives.
pub(super) struct Counted(Arc<AtomicUsize>);

impl Counted {
    /// None if `most` are counted already.
    pub(super) fn new(count: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < most).then_some(now + 1)).ok()?;
        Some(Self(Arc::clone(count)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
