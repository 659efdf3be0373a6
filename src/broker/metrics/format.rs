//! In which words metrics are written, and which of them a client asks for.

use prometheus_client::encoding::prometheus_text;

/// A format of metrics.
///
/// ```
/// use msgstream::broker::MetricsFormat;
///
/// // A Prometheus says what it reads; a person's browser does not say that it reads OpenMetrics.
/// let prometheus = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
/// assert_eq!(MetricsFormat::accepted(prometheus), MetricsFormat::OpenMetrics);
/// assert_eq!(MetricsFormat::accepted("text/html,*/*;q=0.8"), MetricsFormat::Text);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricsFormat {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// The older text format of Prometheus, which people, shells and `promtool check metrics` read.
    Text,
}

impl MetricsFormat {
    /// The format for a client that sent this `Accept`; an empty text if it sent none.
    ///
    /// ```
    /// # use msgstream::broker::MetricsFormat;
    /// assert_eq!(MetricsFormat::accepted(""), MetricsFormat::Text);
    /// assert_eq!(MetricsFormat::accepted("application/openmetrics-text; q=0"), MetricsFormat::Text);
    /// ```
    pub fn accepted(accept: &str) -> Self {
        let is_asked = |range: &str| {
            let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
            parts.next().is_some_and(|name| name == "application/openmetrics-text")
                && !parts.any(|part| part.strip_prefix("q=").is_some_and(|weight| weight.trim().parse() == Ok(0.0)))
        };
        if accept.split(',').any(is_asked) { Self::OpenMetrics } else { Self::Text }
    }

    /// The `Content-Type` of what is written so.
    ///
    /// ```
    /// # use msgstream::broker::MetricsFormat;
    /// let told = MetricsFormat::OpenMetrics.content_type();
    /// assert_eq!(told, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    /// ```
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => prometheus_text::CONTENT_TYPE,
        }
    }
}
