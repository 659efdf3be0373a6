//! Puts the layers on top of one another: defaults, file, environment, flags.

use std::collections::HashMap;
use std::ffi::OsString;

use config::{ConfigError as LayerError, Environment, File, FileFormat, Map, Source, Value, ValueKind};

use super::error::{ConfigError, Problem};
use super::keys::{self, KEYS, PREFIX, ValueType};
use super::{Config, keys::nearest};
use crate::wire::{holds_secret, showable, without_passwords};

/// Everything that a configuration is read from.
#[derive(Debug, Default)]
pub struct Sources<'a> {
    /// The file's name, for messages, and its text.
    pub file: Option<(&'a str, &'a str)>,
    /// The environment, foreign variables and all.
    pub environment: Vec<(OsString, OsString)>,
    /// What the command line says.
    pub flags: Flags,
}

/// The settings that have a flag, as typed. What is not given is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--listen`, once for each address.
    pub listen: Vec<String>,
    /// `--http`, once for each address.
    pub http: Vec<String>,
    /// `--store`.
    pub store: Option<String>,
    /// `--nats`, once for each address.
    pub nats: Vec<String>,
    /// `--port-file`.
    pub port_file: Option<String>,
    /// `--log-format`.
    pub log_format: Option<String>,
    /// `--log-level`.
    pub log_level: Option<String>,
    /// `--workers`.
    pub workers: Option<u32>,
}

impl Config {
    /// Reads and checks a configuration. Of a setting that stands in several places the flag counts, then the variable, then
    /// the file, then the default; a list replaces a list.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong, not only the first.
    pub fn load(sources: Sources<'_>) -> Result<Self, ConfigError> {
        Ok(Self::load_with_origins(sources)?.0)
    }

    /// The same, with each setting, its value and where that comes from, in the order of the reference file.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with_origins(sources: Sources<'_>) -> Result<(Self, Vec<Setting>), ConfigError> {
        let mut problems = Vec::new();
        let file = match sources.file {
            Some((name, text)) => read_file(name, text, &mut problems)?,
            None => Layer::default(),
        };
        let environment = read_environment(sources.environment, &mut problems);
        let all = config::Config::builder().add_source(file).add_source(environment).add_source(read_flags(sources.flags)).build();
        let all = all.map_err(|error| ConfigError::Unexpected(error.to_string()))?;
        let values = flatten(all.cache.clone());
        for (key, kind) in &KEYS {
            if let Some((_, value)) = values.iter().find(|(name, _)| name == key)
                && let Some(reason) = kind.fault(value)
            {
                let (key, origin) = ((*key).to_owned(), origin(value));
                problems.push(Problem::BadValue { key, value: text_of(&kind.shown(value)), origin, reason });
            }
        }
        if !problems.is_empty() {
            return Err(ConfigError::Invalid(problems));
        }
        let config: Self = all.try_deserialize().map_err(|error| ConfigError::Unexpected(error.to_string()))?;
        let problems = config.check().into_iter().map(|fault| {
            let found = values.iter().find(|(name, _)| name == fault.key);
            let origin = found.map_or_else(|| "by default".to_owned(), |(_, value)| origin(value));
            Problem::BadValue { key: fault.key.to_owned(), value: fault.value, origin, reason: fault.reason }
        });
        let problems: Vec<_> = problems.collect();
        if !problems.is_empty() {
            return Err(ConfigError::Invalid(problems));
        }
        let defaults = read_file("", REFERENCE, &mut Vec::new())?;
        let setting = |key: &'static str| {
            let found = values.iter().find(|(name, _)| name == key).map(|(_, value)| (value, origin(value)));
            let found = found.or_else(|| Some((defaults.0.get(key)?, origin(&Value::new(None, ValueKind::Nil)))));
            let (value, origin) = found.ok_or_else(|| ConfigError::Unexpected(format!("{key} has no default")))?;
            Ok(Setting { key, value: json_of(value), origin })
        };
        let settings = keys::known_keys().map(setting).collect::<Result<_, ConfigError>>()?;
        Ok((config, settings))
    }
}

/// A setting as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name, with its section.
    pub key: &'static str,
    /// Its value, as it was written.
    pub value: serde_json::Value,
    /// Where the value comes from: "in FILE", "from VARIABLE", "from --flag", "by default".
    pub origin: String,
}

/// Every setting with its default.
const REFERENCE: &str = include_str!("../../../config/msgstream.toml");

/// A source whose values remember where they come from, as an error text says it.
#[derive(Debug, Clone, Default)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, LayerError> {
        Ok(self.0.clone())
    }
}

fn read_file(name: &str, text: &str, problems: &mut Vec<Problem>) -> Result<Layer, ConfigError> {
    let syntax = |reason: String| ConfigError::Syntax { file: name.to_owned(), reason: reason.trim_end().to_owned() };
    // Asked first, since it knows the place of everything that is wrong.
    toml::from_str::<toml::Table>(text).map_err(|error| syntax(fault(text, &error)))?;
    let table = File::from_str(text, FileFormat::Toml).collect();
    let table = table.map_err(|error| syntax(showable(&error.to_string()).to_owned()))?;
    let mut known = Map::new();
    let mut unknown = Vec::new();
    for (key, value) in flatten(Value::new(None, table)) {
        if keys::known_keys().any(|known| known == key) {
            known.insert(key, Value::new(Some(&format!("in {name}")), value.kind));
        } else if keys::is_section(&key) {
            // An empty section sets nothing; anything else in its place is a mistake.
            if !matches!(value.kind, ValueKind::Table(_)) {
                let reason = format!("is a section: write [{key}] and its settings below");
                problems.push(Problem::BadValue { value: text_of(&value), origin: format!("in {name}"), reason, key });
            }
        } else {
            unknown.push(Problem::UnknownKey { nearest: nearest(&key), key, file: name.to_owned() });
        }
    }
    unknown.sort_by_key(Problem::to_string);
    problems.extend(unknown);
    Ok(Layer(known))
}

/// What the parser says. It shows the line, unless there is a secret in the file: the rest of a key does not look like one.
fn fault(text: &str, error: &toml::de::Error) -> String {
    let why = if holds_secret(text) {
        "there is a token or a key in the file, which are no settings"
    } else if without_passwords(text) != text {
        "there is a password in the file"
    } else {
        return error.to_string();
    };
    let line = error.span().map_or(0, |span| text.get(..span.start).unwrap_or_default().matches('\n').count()) + 1;
    let message = without_passwords(showable(error.message()));
    format!("line {line}: {message}; the line is not shown, since {why}")
}

fn read_environment(environment: Vec<(OsString, OsString)>, problems: &mut Vec<Problem>) -> Layer {
    let mut known = HashMap::new();
    let mut unknown = Vec::new();
    for (name, value) in environment {
        let Ok(name) = name.into_string() else { continue };
        if !name.starts_with(PREFIX) {
            continue;
        }
        let key = keys::known_keys().find(|key| keys::variable(key) == name);
        match (key, value.into_string()) {
            (Some(_), Ok(value)) => {
                known.insert(name, value);
            }
            (Some(key), Err(value)) => {
                let (key, value, origin) = (key.to_owned(), format!("{value:?}"), format!("from {name}"));
                problems.push(Problem::BadValue { key, value, origin, reason: "is not UTF-8".to_owned() });
            }
            (None, value) if is_of_kubernetes(&name, value.as_deref().unwrap_or_default()) => {}
            (None, _) => {
                let nearest = keys::mistyped(name.get(PREFIX.len()..).unwrap_or_default());
                unknown.extend(nearest.map(|nearest| Problem::UnknownVariable { name, nearest }));
            }
        }
    }
    unknown.sort_by_key(Problem::to_string);
    problems.extend(unknown);

    // Without a prefix separator of its own the prefix would end like a section, in two underscores. An empty variable counts
    // as unset: compose files and unit files cannot take a variable back otherwise.
    let source = Environment::with_prefix(PREFIX.trim_end_matches('_')).prefix_separator("_").separator("__").ignore_empty(true);
    let collected = source.source(Some(known)).collect().unwrap_or_default();
    let named = collected.into_iter().map(|(key, value)| {
        let origin = format!("from {}", keys::variable(&key));
        let kind = match value.kind {
            ValueKind::String(text) if kind_of(&key).is_some_and(ValueType::is_list) => list(text.split(','), &origin),
            other => other,
        };
        let value = Value::new(Some(&origin), kind);
        (key, value)
    });
    Layer(named.collect())
}

/// Whether a variable is not a setting although it begins like one: Kubernetes gives every container the addresses of all services, in variables that begin with the service's name
/// (`MSGSTREAM_PORT`, `MSGSTREAM_PORT_7342_TCP_ADDR`, `MSGSTREAM_SERVICE_HOST`; `MSGSTREAM_WEB_PORT` of a service `msgstream-web`).
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let tail = name.find("_PORT_").map(|at| &name[at + "_PORT_".len()..]);
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || tail.is_some_and(|tail| tail.starts_with(|first: char| first.is_ascii_digit()))
        || name.ends_with("_PORT") && value.contains("://")
}

fn read_flags(flags: Flags) -> Layer {
    let mut layer = Map::new();
    let mut set = |key: &str, flag: &str, kind: Option<ValueKind>| {
        if let Some(kind) = kind {
            layer.insert(key.to_owned(), Value::new(Some(&format!("from {flag}")), kind));
        }
    };
    let listen = (!flags.listen.is_empty()).then(|| list(flags.listen.iter().map(String::as_str), "from --listen"));
    set("listen", "--listen", listen);
    let http = (!flags.http.is_empty()).then(|| list(flags.http.iter().map(String::as_str), "from --http"));
    set("http.listen", "--http", http);
    let nats = flags.nats.iter().flat_map(|servers| servers.split(','));
    set("nodes.nats", "--nats", (!flags.nats.is_empty()).then(|| list(nats, "from --nats")));
    set("store.path", "--store", flags.store.map(ValueKind::from));
    set("port_file", "--port-file", flags.port_file.map(ValueKind::from));
    set("log.format", "--log-format", flags.log_format.map(ValueKind::from));
    set("log.level", "--log-level", flags.log_level.map(ValueKind::from));
    set("runtime.workers", "--workers", flags.workers.map(ValueKind::from));
    Layer(layer)
}

fn list<'a>(items: impl Iterator<Item = &'a str>, origin: &str) -> ValueKind {
    let items = items.map(str::trim).filter(|item| !item.is_empty());
    ValueKind::Array(items.map(|item| Value::new(Some(&origin.to_owned()), item)).collect())
}

fn kind_of(key: &str) -> Option<ValueType> {
    KEYS.iter().find(|(known, _)| *known == key).map(|(_, kind)| *kind)
}

/// The leaves of a table by their full key. An empty table is a leaf, so that an unknown empty section is seen.
fn flatten(value: Value) -> Vec<(String, Value)> {
    let ValueKind::Table(table) = value.kind else { return Vec::new() };
    let leaves = table.into_iter().flat_map(|(key, value)| match &value.kind {
        ValueKind::Table(below) if !below.is_empty() => {
            flatten(value).into_iter().map(|(name, value)| (format!("{key}.{name}"), value)).collect()
        }
        _ => vec![(key, value)],
    });
    leaves.collect()
}

fn origin(value: &Value) -> String {
    value.origin().unwrap_or("by default").to_owned()
}

/// A value as JSON has it, which is also how it may stand in a file.
fn json_of(value: &Value) -> serde_json::Value {
    match &value.kind {
        ValueKind::Boolean(value) => (*value).into(),
        ValueKind::I64(value) => (*value).into(),
        ValueKind::U64(value) => (*value).into(),
        ValueKind::Float(value) => (*value).into(),
        ValueKind::Array(items) => items.iter().map(json_of).collect(),
        other => other.to_string().into(),
    }
}

/// A value as it would stand in a file.
fn text_of(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Array(items) => format!("[{}]", items.iter().map(text_of).collect::<Vec<_>>().join(", ")),
        ValueKind::Table(_) => "{...}".to_owned(),
        other => other.to_string(),
    }
}
