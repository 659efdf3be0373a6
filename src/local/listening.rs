//! The handle of a listener that was handed in.

use tokio_util::sync::CancellationToken;

/// The handle of a listener, to hang it up or to wait for its end. Dropping the handle changes nothing: the listener goes on.
///
/// ```
/// use msgstream::local::MessageStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = MessageStream::new();
/// let (sender, receiver) = std::sync::mpsc::channel();
/// let listening = broker.listen("job-1", sender).await?;
/// broker.close("job-1").await?;
/// listening.ended().await;
/// assert_eq!(receiver.try_iter().count(), 1, "the end itself is there by then");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Listening {
    pub(super) wanted: CancellationToken,
    pub(super) ended: CancellationToken,
}

impl Listening {
    /// Waits until the listener has ended, for any reason.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}
