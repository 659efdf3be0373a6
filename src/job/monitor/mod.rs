//! The messages that a job sends to its monitors.
//!
//! Each is sent as an [`Object`] whose class is `monitor.` followed by its name. Fields that a type does not know are kept in
//! `more`, so that a program passes on what a newer one sent.

mod amount;
mod make;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::job::content::{Content, Object};

/// The version of these messages, which is sent with each of them. A receiver accepts any version.
///
/// ```
/// # use msgstream::job::monitor::{Log, Message, VERSION};
/// let text = serde_json::to_string(&Message::from(Log::new("hot")))?;
/// assert_eq!(text, format!(r#"{{".class":"monitor.Log",".version":"{VERSION}",".state":{{"text":"hot"}}}}"#));
/// # Ok::<(), serde_json::Error>(())
/// ```
pub const VERSION: &str = "1.0";

/// What all classes here begin with.
const PREFIX: &str = "monitor.";

/// One message. An `end` also tells which job it was, and when it began and ended.
macro_rules! message {
    ({ $($doc:tt)* } $name:ident end { $($fields:tt)* }) => {
        message! { { $($doc)* } $name {
            $($fields)*
            /// What the job is called.
            #[serde(skip_serializing_if = "Option::is_none")]
            title: Option<String>,
            /// When the job began, as ISO 8601 in UTC, such as `2026-11-28T12:55:19+00:00`.
            #[serde(skip_serializing_if = "Option::is_none")]
            started: Option<String>,
            /// When the job ended, in the same form.
            #[serde(skip_serializing_if = "Option::is_none")]
            ended: Option<String>,
        } }
    };
    ({ $($doc:tt)* } $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $($doc)*
        #[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            /// All other fields.
            #[serde(flatten)]
            pub more: Map<String, Value>,
        }
    };
}

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident $($end:ident)? { $($fields:tt)* })*) => {
        $(
            message! { { $(#[$doc])* } $name $($end)? { $($fields)* } }

            impl From<$name> for Message {
                fn from(state: $name) -> Self {
                    Self::$name(state)
                }
            }
        )*

        /// Any message of a job.
        ///
        /// ```
        /// # use msgstream::job::Content;
        /// # use msgstream::job::monitor::{Message, Progress};
        /// let progress = Message::from(Progress::new(3.0).of(10.0).units("steps"));
        /// let text = serde_json::to_string(&progress)?;
        /// assert_eq!(text, r#"{".class":"monitor.Progress",".version":"1.0",".state":{"k":3,"total":10,"units":"steps"}}"#);
        /// assert_eq!(Message::of(&Content::from_json(&text)?), Some(progress));
        /// # Ok::<(), serde_json::Error>(())
        /// ```
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum Message {
            $(#[doc = concat!("Of class `monitor.", stringify!($name), "`.")] $name($name),)*
        }

        impl Message {
            /// The class on the wire.
            ///
            /// ```
            /// # use msgstream::job::monitor::{Log, Message};
            /// assert_eq!(Message::from(Log::new("hot")).class(), "monitor.Log");
            /// ```
            pub fn class(&self) -> &'static str {
                match self { $(Self::$name(_) => concat!("monitor.", stringify!($name)),)* }
            }

            fn read<E: de::Error>(class: &str, state: Value) -> Result<Self, E> {
                match class.strip_prefix(PREFIX) {
                    $(Some(stringify!($name)) => serde_json::from_value(state).map(Self::$name).map_err(E::custom),)*
                    _ => Err(E::custom(format_args!("{class:?} is not a monitor message"))),
                }
            }
        }

        impl Serialize for Message {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let (class, version) = (self.class().to_owned(), VERSION.to_owned());
                match self { $(Self::$name(state) => Object { class, version, state }.serialize(serializer),)* }
            }
        }
    };
}

messages! {
    /// The job begins.
    ///
    /// ```
    /// # use msgstream::job::monitor::{Message, Start};
    /// let start = Start::new("decay").of(200.0).units("steps");
    /// let text = r#"{".class":"monitor.Start",".version":"1.0",".state":{"title":"decay","total":200,"units":"steps"}}"#;
    /// assert_eq!(serde_json::to_string(&Message::from(start))?, text);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    Start {
        /// What the job is called.
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// How many units of work there are.
        #[serde(default, with = "amount::optional", skip_serializing_if = "Option::is_none")]
        total: Option<f64>,
        /// What the units are called.
        #[serde(skip_serializing_if = "Option::is_none")]
        units: Option<String>,
        /// When the job began, as ISO 8601 in UTC, such as `2026-11-28T12:55:19+00:00`.
        #[serde(skip_serializing_if = "Option::is_none")]
        started: Option<String>,
    }

    /// The header: how far the job is, for listeners that join later. Sent as a message too, it replaces everything that was known: what
    /// it leaves out is not known any longer.
    ///
    /// ```
    /// # use msgstream::local::{LocalError, MessageStream};
    /// # use msgstream::job::monitor::{Join, Message, Progress, Start};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), LocalError> {
    /// let (broker, start) = (MessageStream::new(), Start::new("decay").of(200.0));
    /// // Current listeners get the step; later ones get the header.
    /// let join: Join = start.join(3.0);
    /// broker.put_with_header("job-1", &Message::from(Progress::new(3.0)), &Message::from(join.clone())).await?;
    /// assert_eq!((join.title.as_deref(), join.k, join.total), (Some("decay"), Some(3.0), Some(200.0)));
    /// # Ok(()) }
    /// ```
    Join {
        /// What the job is called.
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// Units done.
        #[serde(default, with = "amount::optional", skip_serializing_if = "Option::is_none")]
        k: Option<f64>,
        /// How many units of work there are.
        #[serde(default, with = "amount::optional", skip_serializing_if = "Option::is_none")]
        total: Option<f64>,
        /// What the units are called.
        #[serde(skip_serializing_if = "Option::is_none")]
        units: Option<String>,
        /// When the job began, as ISO 8601 in UTC, such as `2026-11-28T12:55:19+00:00`.
        #[serde(skip_serializing_if = "Option::is_none")]
        started: Option<String>,
    }

    /// Some units of work are done.
    ///
    /// ```
    /// # use msgstream::job::monitor::Progress;
    /// let text = serde_json::to_string(&Progress::new(3.0).of(200.0).units("steps").text("chisq 2.5"))?;
    /// assert_eq!(text, r#"{"k":3,"total":200,"units":"steps","text":"chisq 2.5"}"#);
    /// // Halves are amounts, too.
    /// assert_eq!(serde_json::from_str::<Progress>(r#"{"k":2.5}"#)?, Progress::new(2.5));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    Progress {
        /// Units done since the start.
        #[serde(with = "amount::there")]
        k: f64,
        /// How many units of work there are.
        #[serde(default, with = "amount::optional", skip_serializing_if = "Option::is_none")]
        total: Option<f64>,
        /// What the units are called.
        #[serde(skip_serializing_if = "Option::is_none")]
        units: Option<String>,
        /// What is being done.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    }

    /// A better result has been found.
    ///
    /// ```
    /// # use msgstream::job::monitor::Improvement;
    /// // What a job says beside the result is kept.
    /// let better: Improvement = serde_json::from_str(r#"{"value":2.5,"rate":0.7}"#)?;
    /// assert_eq!((better.value.as_f64(), better.more["rate"].as_f64()), (Some(2.5), Some(0.7)));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    Improvement {
        /// The result.
        value: Value,
    }

    /// The job has ended well.
    ///
    /// ```
    /// # use msgstream::client::Event;
    /// # use msgstream::local::MessageStream;
    /// # use msgstream::job::monitor::{Complete, Message};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = MessageStream::new();
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// let listening = broker.listen("job-1", sender).await?;
    /// broker.close_with("job-1", &Message::from(Complete::new("fit.csv"))).await?;
    ///
    /// listening.ended().await;
    /// let Event::Ended { message: Some(last) } = receiver.recv()? else { panic!("it has not ended") };
    /// assert_eq!(Message::of(&last), Some(Complete::new("fit.csv").into()));
    /// # Ok(()) }
    /// ```
    Complete end {
        /// What came out.
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<Value>,
    }

    /// The job was aborted.
    ///
    /// ```
    /// # use msgstream::job::monitor::{Abort, Message};
    /// let message = Message::from(Abort::new("Ctrl-C"));
    /// assert!(message.is_last());
    /// assert_eq!(message.class(), "monitor.Abort");
    /// ```
    Abort end {
        /// Why.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    }

    /// The job is lost: its connection is, or its program was killed, or its machine. A job sends this as its will, so that the broker can
    /// say it in its place.
    ///
    /// ```
    /// # use msgstream::job::monitor::{Lost, Message};
    /// let message = Message::from(Lost::new());
    /// assert!(message.is_last());
    /// assert_eq!(message.class(), "monitor.Lost");
    /// ```
    Lost end {
        /// What is known of it.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    }

    /// The job has failed.
    ///
    /// ```
    /// # use msgstream::job::monitor::Error;
    /// let mut error = Error::new("division by zero");
    /// error.traceback = Some("fit.py, line 3".to_owned());
    /// let text = serde_json::to_string(&error)?;
    /// assert_eq!(text, r#"{"reason":"division by zero","traceback":"fit.py, line 3"}"#);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    Error end {
        /// Why.
        reason: String,
        /// Where in the program it failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        traceback: Option<String>,
    }

    /// A log line.
    ///
    /// ```
    /// # use msgstream::job::Content;
    /// # use msgstream::job::monitor::{Log, Message};
    /// let line = Content::from_json(r#"{".class":"monitor.Log",".version":"1.0",".state":{"text":"hot","level":"warning"}}"#)?;
    /// assert_eq!(Message::of(&line), Some(Log::new("hot").level("warning").into()));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    Log {
        /// The line.
        text: String,
        /// Its level, such as `info` or `error`.
        #[serde(skip_serializing_if = "Option::is_none")]
        level: Option<String>,
    }
}

impl Message {
    /// The message in a content. Returns `None` if it has another class, or one that this version does not know.
    ///
    /// ```
    /// # use msgstream::job::Content;
    /// # use msgstream::job::monitor::Message;
    /// let content = Content::from_json(r#"{".class":"monitor.Progress",".version":"1.0",".state":{"k":3,"total":10}}"#)?;
    /// let Some(Message::Progress(progress)) = Message::of(&content) else { panic!() };
    /// assert_eq!((progress.k, progress.total), (3.0, Some(10.0)));
    /// assert_eq!(Message::of(&Content::from_json("{\"k\":3}")?), None);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn of(content: &Content) -> Option<Self> {
        let object = content.object()?;
        if !object.class.starts_with(PREFIX) {
            return None;
        }
        Self::read::<serde_json::Error>(&object.class, object.state.parse().ok()?).ok()
    }

    /// Whether this message ends the job.
    ///
    /// ```
    /// # use msgstream::job::monitor::{Complete, Log, Message};
    /// assert!(Message::from(Complete::default()).is_last());
    /// assert!(!Message::from(Log::new("nearly there")).is_last());
    /// ```
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Complete(_) | Self::Abort(_) | Self::Lost(_) | Self::Error(_))
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Object::<Value>::deserialize(deserializer)?;
        Self::read(&object.class, object.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every form that the other clients send and expect.
    #[test]
    fn every_message_has_its_form() {
        let start = Start::new("fit").of(100.0).units("steps");
        let table: [(Message, &str, &str); 10] = [
            (start.clone().into(), "Start", r#"{"title":"fit","total":100,"units":"steps"}"#),
            (start.join(2.5).into(), "Join", r#"{"title":"fit","k":2.5,"total":100,"units":"steps"}"#),
            (Progress::new(3.0).text("hot").into(), "Progress", r#"{"k":3,"text":"hot"}"#),
            (Improvement::new(1.5).into(), "Improvement", r#"{"value":1.5}"#),
            (Complete::default().into(), "Complete", "{}"),
            (Complete::new("out.dat").into(), "Complete", r#"{"result":"out.dat"}"#),
            (Abort::new("asked").into(), "Abort", r#"{"reason":"asked"}"#),
            (Lost::new().into(), "Lost", "{}"),
            (Error::new("no data").into(), "Error", r#"{"reason":"no data"}"#),
            (Log::new("line").level("info").into(), "Log", r#"{"text":"line","level":"info"}"#),
        ];
        for (message, name, state) in table {
            let text = format!(r#"{{".class":"monitor.{name}",".version":"1.0",".state":{state}}}"#);
            assert_eq!(serde_json::to_string(&message).unwrap(), text);
            assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message);
            assert_eq!(Message::of(&Content::from_json(&text).unwrap()), Some(message));
        }
    }

    #[test]
    fn headers_and_ends_say_when() {
        let (title, started, ended) = (Some("fit".to_owned()), Some("2026-11-28T12:55:19+00:00".to_owned()), Some("later".to_owned()));
        let start = Start { started: started.clone(), ..Start::new("fit") };
        assert_eq!(start.join(1.0).started, started);
        let ends: [Message; 3] = [
            Complete { title: title.clone(), started: started.clone(), ended: ended.clone(), ..Complete::default() }.into(),
            Abort { title: title.clone(), started: started.clone(), ended: ended.clone(), ..Abort::default() }.into(),
            Error { title, started, ended, ..Error::new("no data") }.into(),
        ];
        for end in ends {
            let text = serde_json::to_string(&end).unwrap();
            assert!(text.contains(r#""title":"fit","started":"2026-11-28T12:55:19+00:00","ended":"later""#), "{text}");
            assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), end);
        }
    }

    #[test]
    fn unknown_fields_are_kept_and_unknown_classes_are_not_ours() {
        let text = r#"{".class":"monitor.Improvement",".version":"1.0",".state":{"value":1,"chisq":2.5,"par":{"a":[1]}}}"#;
        let message = Message::of(&Content::from_json(text).unwrap()).unwrap();
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
        for other in [r#"{".class":"my.Start",".state":{}}"#, r#"{".class":"monitor.Nonesuch",".state":{}}"#, r#"".class""#, "7"] {
            assert_eq!(Message::of(&Content::from_json(other).unwrap()), None, "{other}");
        }
    }
}
