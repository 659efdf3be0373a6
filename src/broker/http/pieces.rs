//! Answers that are made while they are sent: no more of one is in memory than a piece, however slowly it is read.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::answer::Refused;

/// Where the pieces of an answer go.
pub(super) struct Pieces(mpsc::Sender<Result<Bytes, Cut>>);

/// An answer ends before it is whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not whole")]
pub(super) struct Cut;

impl From<Refused> for Cut {
    fn from(_: Refused) -> Self {
        Self
    }
}

impl Pieces {
    /// Sends one, as soon as the one before it is on its way.
    ///
    /// # Errors
    /// If nobody reads any more.
    pub(super) async fn send(&self, piece: impl Into<Bytes>) -> Result<(), Cut> {
        self.0.send(Ok(piece.into())).await.map_err(|_| Cut)
    }
}

/// The body whose pieces `make` sends.
pub(super) fn body<F: Future<Output = Result<(), Cut>> + Send + 'static>(make: impl FnOnce(Pieces) -> F) -> Body {
    let (sender, pieces) = mpsc::channel(1);
    let made = make(Pieces(sender.clone()));
    // The broker's stop waits for the connection of the call, and not for the one who reads.
    tokio::spawn(async move {
        if made.await.is_err() {
            // What is missing must not look as if it were all.
            let _ = sender.send(Err(Cut)).await;
        }
    });
    Body::new(Coming(pieces))
}

/// The pieces that come.
struct Coming(mpsc::Receiver<Result<Bytes, Cut>>);

impl HttpBody for Coming {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
