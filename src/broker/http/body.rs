//! The body of a request: one JSON text, bounded and counted as a line is that is on its way.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::StatusCode;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use crate::broker::actor::Intake;
use crate::broker::connection::{ConnectionContext, has_room_for_start, within};
use crate::wire::refusal;

use super::answer::Refused;

/// What a body may take to come, however little of it does at a time.
const LONGEST: Duration = Duration::from_secs(60);

/// A body that has come whole.
pub(super) struct Content {
    bytes: Vec<u8>,
    counted: usize,
    intake: Arc<Intake>,
}

impl Content {
    /// Waits for the body.
    ///
    /// # Errors
    /// [`Refused`] if it is too long, takes too long, or there is no room for it, or if the broker stops before it has come.
    pub(super) async fn of(body: Body, context: &ConnectionContext, stop: &CancellationToken) -> Result<Self, Refused> {
        let (limits, intake) = (&context.reader, Arc::clone(&context.reader.intake));
        let mut content = Self { bytes: Vec::new(), counted: 0, intake };
        let too_long = || Refused::by_code("line_too_long", refusal::long_line(limits.decode.line).reason);
        if body.size_hint().lower() > limits.decode.line as u64 {
            return Err(too_long());
        }
        let mut body = body;
        let all = async {
            while let Some(frame) =
                within(context.times.first_line, poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))).await.ok_or_else(late)?
            {
                let frame = frame.map_err(|error| Refused::new(StatusCode::BAD_REQUEST, "bad_request", error.to_string()))?;
                let Ok(data) = frame.into_data() else { continue };
                let length = content.bytes.len() + data.len();
                if length > limits.decode.line {
                    return Err(too_long());
                }
                content.forget();
                if !has_room_for_start(length, &content.intake) {
                    return Err(Refused::by_code("limit", refusal::unfinished_lines(content.intake.most()).reason));
                }
                content.bytes.extend_from_slice(&data);
                content.count();
            }
            Ok(())
        };
        match stop.run_until_cancelled(within(LONGEST, all)).await {
            Some(come) => come.ok_or_else(late)??,
            // It could not be taken any more.
            None => return Err(Refused::stopping()),
        }
        content.forget();
        content.bytes.shrink_to_fit();
        content.count();
        Ok(content)
    }

    /// The JSON text in it, on one line. None if it is empty.
    ///
    /// # Errors
    /// [`Refused`] if it is not JSON.
    pub(super) fn json(&mut self) -> Result<Option<&str>, Refused> {
        if self.bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let bad = |reason: String| {
            let cure = "the body has to be one JSON value, such as {\"step\":3} or \"text\" with its quotes";
            Refused::by_code("bad_json", format!("{cure}: {reason}"))
        };
        let text = std::str::from_utf8(&self.bytes).map_err(|error| bad(error.to_string()))?;
        let value: &RawValue = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        let (start, length) = (text.len() - text.trim_ascii_start().len(), value.get().len());
        // It is JSON, so a line break in it stands between its parts, where it is a blank.
        let json = self.bytes.get_mut(start..start + length).unwrap_or_default();
        json.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
        Ok(std::str::from_utf8(json).ok())
    }

    fn count(&mut self) {
        self.forget();
        self.counted = self.bytes.capacity();
        self.intake.received().add(self.counted);
    }

    /// What it has itself does not stand in its way.
    fn forget(&mut self) {
        self.intake.received().remove(std::mem::take(&mut self.counted));
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.forget();
    }
}

fn late() -> Refused {
    Refused::new(StatusCode::REQUEST_TIMEOUT, "limit", "the body took too long to come; send it at once")
}
