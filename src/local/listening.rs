//! What is left in the hands of whoever has handed a listener in.

use tokio_util::sync::CancellationToken;

/// Somebody who listens, to hang up by. Dropping it changes nothing: whoever was handed in listens on.
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
    /// Waits until it listens no more, for whatever reason.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}
