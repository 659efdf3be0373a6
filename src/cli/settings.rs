//! The broker's settings, as `serve` and `config` are given them, and `msgstream config`.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Subcommand;
use clap::builder::PossibleValuesParser;

use crate::broker::Certificates;
use crate::broker::access::read_tokens;
use crate::cli::config::{Config, ConfigError, Flags, LogFormat, LogLevel, Setting, Sources};
use crate::wire::{Address, BadAddress, Listen, holds_secret, showable, without_passwords};

use super::exit::{Exit, Failure, OrExit};
use super::standard::print;

/// The flags that are settings.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SettingsArgs {
    /// Listen on this address: host, host:port, tls://host:port or unix:/path; can be repeated [default: 127.0.0.1:7342]
    ///
    /// Clients speak JSON lines there, or MessagePack on msgpack+tcp://host:port, msgpack+tls://host:port and msgpack+unix:/path. Port 0
    /// takes any free port. With tls://, connections are encrypted; the files of the certificate and its key are settings
    /// (MSGSTREAM_TLS__CERTIFICATE, MSGSTREAM_TLS__KEY).
    /// Only this machine can reach 127.0.0.1. An address that other machines can reach, such as 0.0.0.0, needs auth.tokens, client
    /// certificates that are required, or auth.allow_anonymous where everyone who can reach it may do everything.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    listen: Vec<String>,

    /// Speak HTTP at this address too: the page, metrics, streams; repeat it for several [default: none]
    ///
    /// As --listen, without an encoding: 127.0.0.1:7380, tls://127.0.0.1:7380 for HTTPS, unix:/run/msgstream-http.sock.
    #[arg(long, value_name = "ADDR", value_parser = web_address)]
    http: Vec<String>,

    /// Keep headers, ends and wills in this file, so that a restart loses none of them [default: none]
    ///
    /// It is made if there is none; its directory must be there. After an orderly stop the last messages and the sessions are in it as well.
    #[arg(long, value_name = "FILE")]
    store: Option<String>,

    /// Share the streams with other brokers through this NATS server; repeat it for several [default: none]
    ///
    /// nats://host:port, or tls://host:port. All brokers that give the same servers and the same nodes.space are nodes with one space of
    /// streams. Names and passwords belong in a file (MSGSTREAM_NODES__CREDENTIALS).
    #[arg(long, value_name = "URL")]
    nats: Vec<String>,

    /// Read settings from this TOML file [default: none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Write the TCP and TLS ports to this file, one per line, while listening [default: none]
    ///
    /// The file is written atomically once connections are accepted, and removed at exit.
    #[arg(long, value_name = "PATH")]
    port_file: Option<String>,

    /// Write the log as text or as JSON objects, one per line [default: text]
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(LogFormat::NAMES))]
    log_format: Option<String>,

    /// Minimum severity to log [default: info]
    #[arg(long, value_name = "LEVEL", value_parser = PossibleValuesParser::new(LogLevel::NAMES))]
    log_level: Option<String>,

    /// Serve connections with this many threads [default: 1]
    #[arg(long, value_name = "N")]
    workers: Option<u32>,
}

/// A configuration, and where each value comes from.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) settings: Vec<Setting>,
}

impl Loaded {
    /// Whether the files that the configuration names can be used; all that is wrong with them, if not.
    pub(crate) fn check_files(&self) -> Result<(), Failure> {
        let mut addresses = self.config.listen.iter().map(|listen| &listen.address).chain(&self.config.http.listen);
        let has_tls = addresses.any(|address| matches!(address, Address::Tls(_)));
        let faults = Certificates::faults(&self.config.tls, has_tls);
        let tokens = self.config.auth.tokens.as_deref().and_then(|file| read_tokens(file).err());
        let of_nodes = crate::broker::nats::faults(&self.config.nodes);
        let faults = faults.iter().map(ToString::to_string).chain(of_nodes.iter().map(ToString::to_string));
        let faults: Vec<_> = faults.chain(tokens.map(|error| error.to_string())).collect();
        match &*faults {
            [] => Ok(()),
            [one] => Err(Failure::new(Exit::Config, one)),
            all => {
                let all: String = all.iter().map(|fault| format!("\n  {}", fault.replace('\n', "\n    "))).collect();
                Err(Failure::new(Exit::Config, format!("files that the configuration names cannot be used:{all}")))
            }
        }
    }
}

impl SettingsArgs {
    /// Reads the configuration.
    pub(crate) fn load(&self) -> Result<Loaded, ConfigError> {
        let name = self.config.as_ref().map(|path| path.display().to_string());
        let text = self.config.as_deref().map(read).transpose();
        let text = text.map_err(|source| ConfigError::Unreadable { file: name.clone().unwrap_or_default(), source })?;
        let (config, settings) = Config::load_with_origins(Sources {
            file: name.as_deref().zip(text.as_deref()),
            environment: std::env::vars_os().collect(),
            flags: Flags {
                listen: self.listen.clone(),
                http: self.http.clone(),
                store: self.store.clone(),
                nats: self.nats.clone(),
                port_file: self.port_file.clone(),
                log_format: self.log_format.clone(),
                log_level: self.log_level.clone(),
                workers: self.workers,
            },
        })?;
        Ok(Loaded { config, settings })
    }
}

/// Reads a file, or what else is there at once: whoever writes into a pipe may take its time.
fn read(file: &Path) -> io::Result<String> {
    let about = fs::metadata(file)?;
    if about.file_type().is_fifo() || about.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file; name one that can be read again"));
    }
    fs::read_to_string(file)
}

/// Refuses a mistyped address as an error of the command line; the configuration reads the text again.
fn address(text: &str) -> Result<String, BadAddress> {
    match text.parse::<Listen>() {
        // An error of the command line would repeat it.
        Err(_) if holds_secret(text) || text.contains('@') => Ok(text.to_owned()),
        parsed => parsed.map(|_| text.to_owned()),
    }
}

/// The same where nothing but HTTP is spoken.
fn web_address(text: &str) -> Result<String, BadAddress> {
    match text.parse::<Address>() {
        Err(_) if holds_secret(text) || text.contains('@') => Ok(text.to_owned()),
        parsed => parsed.map(|_| text.to_owned()),
    }
}

/// How each of them ends.
macro_rules! exit_codes {
    () => {
        "\
Exit codes:
   0  the configuration can be used
  64  the command line cannot be understood
  74  standard output cannot be written
  78  the configuration cannot be used; all that is wrong is printed"
    };
}

/// Check or show the broker's configuration
///
/// Both read what `msgstream serve` with the same flags would read: the configuration file, the environment, and the flags.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER_HELP, after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check the configuration, and print the addresses to listen on
    ///
    /// The certificates and the tokens that it names are read as well, once the settings themselves are right.
    #[command(after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
    Check {
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Print every setting with its value and where that comes from, as a configuration file
    ///
    /// The files that it names are not read.
    #[command(after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
    Show {
        #[command(flatten)]
        settings: SettingsArgs,
        /// Print only what differs from the defaults
        #[arg(long)]
        changed: bool,
        /// Print one JSON object: each setting with "value" and "origin"
        #[arg(long)]
        json: bool,
    },
}

const AFTER_HELP: &str = concat!(
    "\
Examples:
  msgstream config check --config /etc/msgstream/msgstream.toml
  msgstream config show --config msgstream.toml --changed
  MSGSTREAM_OUTBOX__LIMIT=256MiB msgstream config show --json

",
    exit_codes!()
);

const EXIT_CODES: &str = exit_codes!();

/// Runs the subcommand.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.action {
        Action::Check { settings } => check(settings),
        Action::Show { settings, changed, json } => show(settings, *changed, *json),
    }
}

/// Checks the configuration, and the files that it names.
pub(crate) fn check(args: &SettingsArgs) -> Result<(), Failure> {
    let loaded = args.load().or_exit(Exit::Config)?;
    loaded.check_files()?;
    print_addresses(&loaded.config)
}

/// Prints that all is well, and the addresses.
pub(crate) fn print_addresses(config: &Config) -> Result<(), Failure> {
    let addresses = config.listen.iter().map(|listen| format!("  {listen}\n")).collect::<String>();
    let http = config.http.listen.iter().map(|address| format!("  {address} (HTTP)\n")).collect::<String>();
    print(format!("ok\n{addresses}{http}").as_bytes())
}

fn show(args: &SettingsArgs, changed: bool, json: bool) -> Result<(), Failure> {
    let Loaded { mut settings, .. } = args.load().or_exit(Exit::Config)?;
    settings.retain(|setting| !changed || setting.origin != BY_DEFAULT);
    for setting in &mut settings {
        let text = setting.value.to_string();
        if holds_secret(&text) {
            setting.value = showable(&text).into();
        }
        hide_passwords(&mut setting.value);
    }
    print(if json { as_json(&settings) } else { as_toml(&settings) }.as_bytes())
}

fn hide_passwords(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => *text = without_passwords(text).into_owned(),
        serde_json::Value::Array(items) => items.iter_mut().for_each(hide_passwords),
        _ => {}
    }
}

/// The origin of what nobody has set.
const BY_DEFAULT: &str = "by default";

/// As a configuration file, with the origins as comments.
fn as_toml(settings: &[Setting]) -> String {
    let mut text = String::new();
    let mut current = "";
    for Setting { key, value, origin } in settings {
        let (section, name) = key.split_once('.').unwrap_or(("", key));
        if section != current {
            text.push_str(&format!("{}[{section}]\n", if text.is_empty() { "" } else { "\n" }));
            current = section;
        }
        text.push_str(&format!("{:<30} # {origin}\n", format!("{name} = {value}")));
    }
    text
}

fn as_json(settings: &[Setting]) -> String {
    let object = |Setting { key, value, origin }: &Setting| {
        let entry = serde_json::json!({"value": value, "origin": origin});
        format!("  {}: {entry}", serde_json::Value::from(*key))
    };
    format!("{{\n{}\n}}\n", settings.iter().map(object).collect::<Vec<_>>().join(",\n"))
}
