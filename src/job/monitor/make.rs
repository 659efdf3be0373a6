//! Making messages in few words.

use serde_json::Value;

use super::{Abort, Complete, Error, Improvement, Join, Log, Lost, Progress, Start};

/// What tells how much there is to do.
macro_rules! counted {
    ($($name:ident)*) => {
        $(
            impl $name {
                /// Sets the number of units in all.
                #[must_use]
                pub fn of(self, total: f64) -> Self {
                    Self { total: Some(total), ..self }
                }

                /// Names the units.
                #[must_use]
                pub fn units(self, units: impl Into<String>) -> Self {
                    Self { units: Some(units.into()), ..self }
                }
            }
        )*
    };
}

counted! { Start Progress }

impl Start {
    /// The start of a job with this title.
    ///
    /// ```
    /// # use msgstream::job::monitor::Start;
    /// let start = Start::new("decay").of(200.0).units("steps");
    /// assert_eq!((start.total, start.units.as_deref()), (Some(200.0), Some("steps")));
    /// ```
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: Some(title.into()), ..Self::default() }
    }

    /// The header of the job when `k` units are done.
    ///
    /// ```
    /// # use msgstream::job::monitor::Start;
    /// let header = Start::new("decay").of(200.0).join(3.0);
    /// assert_eq!((header.title.as_deref(), header.k, header.total), (Some("decay"), Some(3.0), Some(200.0)));
    /// ```
    pub fn join(&self, k: f64) -> Join {
        Join {
            title: self.title.clone(),
            k: Some(k),
            total: self.total,
            units: self.units.clone(),
            started: self.started.clone(),
            more: self.more.clone(),
        }
    }
}

impl Progress {
    /// `k` units of work are done.
    ///
    /// ```
    /// # use msgstream::job::monitor::Progress;
    /// let progress = Progress::new(3.0).of(200.0).units("steps").text("chisq 2.5");
    /// assert_eq!((progress.k, progress.text.as_deref()), (3.0, Some("chisq 2.5")));
    /// ```
    pub fn new(k: f64) -> Self {
        Self { k, ..Self::default() }
    }

    /// Adds what is being done.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..self }
    }
}

impl Improvement {
    /// A better result.
    ///
    /// ```
    /// # use msgstream::job::monitor::Improvement;
    /// let mut better = Improvement::new(2.5);
    /// better.more.insert("rate".to_owned(), 0.7.into());
    /// assert_eq!(serde_json::to_string(&better).unwrap(), r#"{"value":2.5,"rate":0.7}"#);
    /// ```
    pub fn new(value: impl Into<Value>) -> Self {
        Self { value: value.into(), ..Self::default() }
    }
}

impl Complete {
    /// The end of a job, with its result.
    ///
    /// ```
    /// # use msgstream::job::monitor::Complete;
    /// let complete = Complete::new("fit.csv");
    /// assert_eq!(complete.result, Some("fit.csv".into()));
    /// ```
    pub fn new(result: impl Into<Value>) -> Self {
        Self { result: Some(result.into()), ..Self::default() }
    }
}

impl Abort {
    /// The end of a job that was aborted, with the reason.
    ///
    /// ```
    /// # use msgstream::job::monitor::Abort;
    /// assert_eq!(Abort::new("Ctrl-C").reason.as_deref(), Some("Ctrl-C"));
    /// ```
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::default() }
    }
}

impl Lost {
    /// The end of a job that is lost.
    ///
    /// ```
    /// # use msgstream::job::monitor::{Lost, Start};
    /// let start = Start::new("decay");
    /// let mut lost = Lost::new();
    /// lost.title = start.title;
    /// assert_eq!(lost.title.as_deref(), Some("decay"));
    /// ```
    pub fn new() -> Self {
        Self::default()
    }
}

impl Error {
    /// The end of a job that failed, with the reason.
    ///
    /// ```
    /// # use msgstream::job::monitor::Error;
    /// let error = Error::new("no data");
    /// assert_eq!((error.reason.as_str(), error.traceback), ("no data", None));
    /// ```
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..Self::default() }
    }
}

impl Log {
    /// A log line.
    ///
    /// ```
    /// # use msgstream::job::monitor::Log;
    /// let line = Log::new("32 points read").level("info");
    /// assert_eq!((line.text.as_str(), line.level.as_deref()), ("32 points read", Some("info")));
    /// ```
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Sets its level.
    #[must_use]
    pub fn level(self, level: impl Into<String>) -> Self {
        Self { level: Some(level.into()), ..self }
    }
}
