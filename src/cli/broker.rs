//! What all subcommands that talk to a broker share: its address, and the runtime.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::future::Future;
use std::path::PathBuf;

use crate::client::{
    Backoff, BadServerAddress, BadToken, ClientError, Listed, Options, RemoteStream, ServerAddress, ServerAddresses, TlsOptions, Token,
    list, nodes,
};
use crate::job::content::Content;
use crate::wire::holds_secret;
use crate::wire::units::{BadUnit, Span};
use anyhow::Context;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use tokio::runtime::Builder;
use tokio::time::Instant;

use super::config::ClientConfig;
use super::exit::{Exit, Failure, OrExit, Outcome};
use super::token_file;

/// The broker's address, the token to show there, and certificates if it speaks TLS: from flags, variables, or a file of the clients'
/// configuration.
#[derive(Debug, Clone)]
pub(crate) struct Broker {
    server: ServerAddresses,
    token: Option<Token>,
    tls: TlsOptions,
}

/// The flags that say where the broker is and who this is.
#[derive(Debug, Clone, clap::Args)]
struct Flags {
    /// The broker: host, host:port, tls://host:port or unix:/path, or several with commas between them, of which the first that answers
    /// counts; the default port is 7342 [default: server in client.toml, or 127.0.0.1:7342]
    #[arg(long, value_name = "ADDR", env = VARIABLE, hide_env_values = true, value_parser = given)]
    server: Option<Given>,

    /// Show the broker the token in this file, which only its owner and group may read [default: MSGSTREAM_TOKEN, the file in MSGSTREAM_TOKEN_FILE, or token_file in client.toml]
    // Not the token itself: every user of the machine can see the arguments of a program.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// With tls://, the authorities that the broker's certificate may be signed by, in PEM [default: those that the system knows]
    #[arg(long, value_name = "FILE", env = "MSGSTREAM_CA", hide_env_values = true, value_parser = file())]
    ca: Option<PathBuf>,

    /// With tls://, the certificate of this client, in PEM [default: none]
    #[arg(long, value_name = "FILE", env = "MSGSTREAM_CERTIFICATE", hide_env_values = true, value_parser = file())]
    certificate: Option<PathBuf>,

    /// With tls://, the private key of that certificate, in PEM [default: the file of the certificate]
    #[arg(long, value_name = "FILE", env = "MSGSTREAM_KEY", hide_env_values = true, value_parser = file())]
    key: Option<PathBuf>,
}

/// An address from a flag or the variable.
#[derive(Debug, Clone)]
enum Given {
    At(ServerAddresses),
    /// The variable is empty.
    Unset,
    /// It holds a secret. The parser of the command line would repeat it.
    Secret(BadServerAddress),
}

/// The variable that gives the broker's address, unless the option does.
pub(crate) const VARIABLE: &str = "MSGSTREAM_SERVER";

/// Reads an address. An empty variable counts as unset; clap does not tell whether a value comes from the variable.
fn given(text: &str) -> Result<Given, BadServerAddress> {
    let is_unset = text.is_empty() && env::var_os(VARIABLE).is_some_and(|value| value.is_empty());
    match text.parse() {
        _ if is_unset => Ok(Given::Unset),
        Ok(address) => Ok(Given::At(address)),
        Err(error) if holds_secret(text) => Ok(Given::Secret(error)),
        Err(error) => Err(error),
    }
}

/// Reads a path. An empty variable counts as unset, so that nothing is no fault here.
fn file() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// Reads a time limit. None at all would be up before a broker could answer.
pub(crate) fn limit(text: &str) -> Result<Span, String> {
    let time: Span = text.parse().map_err(|error: BadUnit| error.to_string())?;
    if time.0.is_zero() {
        return Err("a time limit of 0 is too short for an answer; write at least 1ms, or use get to see the state of a stream".to_owned());
    }
    Ok(time)
}

/// The variable that holds the token.
const TOKEN: &str = "MSGSTREAM_TOKEN";

/// The variable that names a file with it.
const TOKEN_FILE: &str = "MSGSTREAM_TOKEN_FILE";

/// The token in the file of the flag, or in a variable, or in the file that another variable names; none if there is none of these.
fn token(file: Option<PathBuf>) -> Result<Option<Token>, String> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(file) = file {
        return token_file::read(&file).map(Some);
    }
    if let Some(token) = variable(TOKEN).filter(|token| !token.to_string_lossy().trim().is_empty()) {
        let token = token.to_str().ok_or(BadToken).and_then(token_file::token_in);
        return token.map(Some).map_err(|error| format!("{TOKEN}: {error}"));
    }
    variable(TOKEN_FILE).map(|file| token_file::read(file.as_ref()).map_err(|error| format!("{TOKEN_FILE}: {error}"))).transpose()
}

/// The broker that the configuration says, or the default, and the token and the certificates for it. Another broker is not shown that
/// token: it could use it. Nor is it read where another was `given`.
fn configured(given: Option<Token>) -> Result<(ServerAddresses, Option<Token>, TlsOptions), String> {
    let ClientConfig { server, token_file, ca, certificate, key } = ClientConfig::load()?;
    let server = match server {
        Some((server, place)) if !server.is_empty() => server.parse().map_err(|error| format!("{place}: {error}"))?,
        Some(_) | None => ServerAddress::DEFAULT.parse().map_err(|error: BadServerAddress| error.to_string())?,
    };
    let token = match token_file {
        _ if given.is_some() => given,
        Some((file, place)) if !file.is_empty() => Some(token_file::read(file.as_ref()).map_err(|error| format!("{place}: {error}"))?),
        Some(_) | None => None,
    };
    let file = |setting: Option<(String, String)>| setting.map(|(file, _)| PathBuf::from(file)).filter(|file| !file.as_os_str().is_empty());
    let mut tls = TlsOptions::default();
    (tls.ca, tls.certificate, tls.key) = (file(ca), file(certificate), file(key));
    Ok((server, token, tls))
}

/// Refuses certificates that cannot be used: where nothing is encrypted, whoever has named them believes that it is; and what is wrong with a
/// file is to be known before anybody is waited for.
fn check(server: &ServerAddresses, tls: &TlsOptions) -> Result<(), String> {
    let files = [("ca", &tls.ca), ("certificate", &tls.certificate), ("key", &tls.key)];
    let named = || files.iter().filter_map(|(key, file)| Some((*key, file.as_ref()?)));
    if server.iter().any(|address| matches!(address, ServerAddress::Tls(_))) {
        for (_, file) in named() {
            // What is not there is told with the cure below.
            fs::metadata(file).map_or(Ok(()), |about| token_file::check_kind(file, about.file_type()))?;
        }
        return tls.check().map_err(|error| error.to_string());
    }
    // Nobody thinks of encryption on a Unix socket.
    let Some(address) = server.iter().find(|address| matches!(address, ServerAddress::Tcp(_))) else { return Ok(()) };
    named().next().map_or(Ok(()), |(key, _)| {
        let variable = key.to_uppercase();
        Err(format!(
            "{address} is an address without TLS, where --{key}, MSGSTREAM_{variable} or \"{key}\" in client.toml is of no use; write \"tls://\" before the address, or take that out"
        ))
    })
}

impl Args for Broker {
    fn augment_args(command: Command) -> Command {
        Flags::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args_for_update(command)
    }
}

impl FromArgMatches for Broker {
    /// A fault of the configuration is an error of kind [`ErrorKind::Io`], which a command line cannot have otherwise.
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let Flags { server, token_file, ca, certificate, key } = Flags::from_arg_matches(matches)?;
        let fault = |why| clap::Error::raw(ErrorKind::Io, why);
        let given = token(token_file).map_err(fault)?;
        let (server, token, mut tls) = match server {
            Some(Given::At(server)) => (server, given, TlsOptions::default()),
            Some(Given::Secret(error)) => return Err(fault(error.to_string())),
            Some(Given::Unset) | None => configured(given).map_err(fault)?,
        };
        // A variable that is empty counts as unset.
        let set = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
        let (ca, certificate, key) = (set(ca), set(certificate), set(key));
        tls.ca = ca.or(tls.ca);
        // A key belongs to its certificate, wherever that is named.
        tls.key = key.or(if certificate.is_none() { tls.key } else { None });
        tls.certificate = certificate.or(tls.certificate);
        check(&server, &tls).map_err(fault)?;
        Ok(Self { server, token, tls })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Broker {
    /// Connects, or says why not.
    pub(crate) async fn connect(&self, options: Options) -> Result<RemoteStream, Failure> {
        Ok(RemoteStream::connect_with(self.server.clone(), self.known(options)).await?)
    }

    /// Connects within this time, if there is a limit, and says when it will be up.
    pub(crate) async fn connect_within(
        &self,
        time: Option<Span>,
        mut options: Options,
    ) -> Result<(RemoteStream, Option<Instant>), Failure> {
        let end = time.and_then(|Span(time)| Instant::now().checked_add(time));
        options.connect_time = time.map_or(options.connect_time, |Span(time)| time.min(options.connect_time));
        Ok((self.connect(options).await?, end))
    }

    /// Connects, and says when this time will be up. With `reconnect`, a broker that is not there is waited for, in the background.
    pub(crate) async fn connect_or_wait(&self, time: Option<Span>, reconnect: bool) -> Result<(RemoteStream, Option<Instant>), Failure> {
        if !reconnect {
            return self.connect_within(time, Options::default()).await;
        }
        let end = time.and_then(|Span(time)| Instant::now().checked_add(time));
        Ok((self.start(Options { reconnect: Some(Backoff::default()), session: false, ..Options::default() }), end))
    }

    /// All streams whose names begin so, with what the broker knows of them.
    pub(crate) async fn list(&self, prefix: &str, options: &Options) -> Result<BTreeMap<String, Listed>, Failure> {
        let listed = list(&self.server, prefix, &self.known(options.clone())).await;
        listed.map_err(|error| who_may_not_see_all(error.into(), "msgstream streams PREFIX"))
    }

    /// What is told of each node of the broker's space.
    pub(crate) async fn nodes(&self, options: &Options) -> Result<BTreeMap<String, Content>, ClientError> {
        nodes(&self.server, &self.known(options.clone())).await
    }

    /// Connects in the background, for as long as it takes.
    pub(crate) fn start(&self, options: Options) -> RemoteStream {
        RemoteStream::start(self.server.clone(), self.known(options))
    }

    /// With the token and the certificates.
    fn known(&self, options: Options) -> Options {
        Options { token: self.token.clone(), ..options.tls(self.tls.clone()) }
    }

    /// The address as text.
    pub(crate) fn address(&self) -> String {
        self.server.to_string()
    }
}

/// Who may not see all streams is told how to see some, with a command line such as this.
pub(crate) fn who_may_not_see_all(failure: Failure, with: &str) -> Failure {
    if !matches!(failure.error.downcast_ref(), Some(ClientError::Denied(_))) {
        return failure;
    }
    let Failure { exit, error } = failure;
    Failure::new(
        exit,
        format!(
            "{error}; \"{with}\" shows those whose names begin with a prefix that you may listen to; to see all takes admin = true, which who runs the broker can give you"
        ),
    )
}

/// Runs a subcommand on this thread.
pub(crate) fn block_on(work: impl Future<Output = Outcome>) -> Outcome {
    let runtime = Builder::new_current_thread().enable_all().build().context("cannot start the runtime").or_exit(Exit::Io)?;
    let outcome = runtime.block_on(work);
    // A pending read of standard input must not keep the program alive.
    runtime.shutdown_background();
    outcome
}
