//! The configuration as values: what each layer may say, which one counts, and what every mistake is answered with.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap in a test is a failed test")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use msgstream::broker::Policy;
use msgstream::internal::cli::config::{Config, ConfigError, Flags, LogFormat, LogLevel, Sources, known_keys, variable};
use msgstream::units::{ByteSize, Span};

const REFERENCE: &str = include_str!("../config/msgstream.toml");

fn load(file: &str, environment: &[(&str, &str)], flags: Flags) -> Result<Config, ConfigError> {
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
    Config::load(Sources { file: Some(("here.toml", file)), environment, flags })
}

fn from_file(file: &str) -> Result<Config, ConfigError> {
    load(file, &[], Flags::default())
}

fn from_environment(environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load("", environment, Flags::default())
}

/// Each part must stand in the error.
fn assert_fails(outcome: Result<Config, ConfigError>, parts: &[&str]) {
    let error = outcome.expect_err(&format!("should have failed with {parts:?}")).to_string();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

fn addresses(config: &Config) -> Vec<String> {
    config.listen.iter().map(ToString::to_string).collect()
}

// The list of settings, the structs, the reference file: all three are the same.

#[test]
fn the_reference_file_is_the_defaults() {
    assert_eq!(from_file(REFERENCE).unwrap(), Config::default());
    assert_eq!(from_file("").unwrap(), Config::default());
    assert_eq!(Config::default().check(), []);
}

#[test]
fn the_reference_file_has_every_setting_once_with_its_variable() {
    let mut section = String::new();
    let mut written = Vec::new();
    for line in REFERENCE.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.replace(']', ".");
        } else {
            written.push(format!("{section}{}", line.split_once(" = ").expect("a setting").0));
        }
    }
    assert_eq!(written, known_keys().collect::<Vec<_>>());
    for key in known_keys() {
        assert!(REFERENCE.contains(&variable(key)), "{} is not explained", variable(key));
    }
}

/// The field names of the structs, from what they answer to a field that they do not have.
fn fields(json: &str) -> BTreeSet<String> {
    let error = serde_json::from_str::<Config>(json).expect_err("an unknown field").to_string();
    let (_, expected) = error.split_once(", expected ").expect("the names of the fields");
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_known_keys_are_the_fields_of_the_structs() {
    let mut found = BTreeSet::new();
    for field in fields(r#"{"nonesuch":0}"#) {
        if ["listen", "port_file"].contains(&field.as_str()) {
            found.insert(field);
        } else {
            let below = fields(&format!(r#"{{"{field}":{{"nonesuch":0}}}}"#));
            found.extend(below.into_iter().map(|name| format!("{field}.{name}")));
        }
    }
    assert_eq!(found, known_keys().map(str::to_owned).collect());
}

// Which layer counts.

#[test]
fn a_flag_counts_more_than_a_variable_and_that_more_than_the_file() {
    let file = "listen = ['127.0.0.1:1', '127.0.0.1:2']\nport_file = 'a'\n[log]\nlevel = 'warn'\n[runtime]\nworkers = 2";
    let environment = [
        ("MSGSTREAM_LISTEN", "127.0.0.1:3"),
        ("MSGSTREAM_LOG__LEVEL", "error"),
        ("MSGSTREAM_RUNTIME__WORKERS", "3"),
        ("MSGSTREAM_HTTP__LISTEN", "127.0.0.1:7"),
        ("MSGSTREAM_TLS__CERTIFICATE", "c"),
        ("MSGSTREAM_TLS__KEY", "k"),
    ];

    let config = from_file(file).unwrap();
    assert_eq!((addresses(&config), config.log.level), (vec!["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()], LogLevel::Warn));

    let config = load(file, &environment, Flags::default()).unwrap();
    assert_eq!(addresses(&config), ["127.0.0.1:3"], "a list replaces a list");
    assert_eq!((config.log.level, config.runtime.workers), (LogLevel::Error, 3));
    assert_eq!(config.port_file.as_deref(), Some(Path::new("a")), "what the environment does not say stays");

    let flags = Flags {
        listen: vec!["127.0.0.1:4".to_owned(), "unix:/tmp/a,b".to_owned()],
        http: vec!["127.0.0.1:5".to_owned(), "tls://127.0.0.1:6".to_owned()],
        store: Some("c".to_owned()),
        nats: Vec::new(),
        port_file: Some("b".to_owned()),
        log_format: Some("json".to_owned()),
        log_level: Some("off".to_owned()),
        workers: Some(4),
    };
    let config = load(file, &environment, flags).unwrap();
    assert_eq!(addresses(&config), ["127.0.0.1:4", "unix:/tmp/a,b"]);
    assert_eq!((config.log.format, config.log.level, config.runtime.workers), (LogFormat::Json, LogLevel::Off, 4));
    assert_eq!((config.port_file.as_deref(), config.store.path.as_deref()), (Some(Path::new("b")), Some(Path::new("c"))));
    assert_eq!(config.http.listen, ["127.0.0.1:5".parse().unwrap(), "tls://127.0.0.1:6".parse().unwrap()]);
}

#[test]
fn nodes_are_set_in_the_file_in_variables_or_by_a_flag() {
    let file = "[nodes]\nnats = ['nats://a:4222', 'tls://b', 'nats://[::1]:4222']\nname = 'north'\nlease = '5s'";
    let config = from_file(file).unwrap();
    assert_eq!(config.nodes.nats, ["nats://a:4222", "tls://b", "nats://[::1]:4222"]);
    assert_eq!((config.nodes.name.as_str(), config.nodes.lease, config.nodes.is_on()), ("north", Span::from_secs(5), true));
    let config = load(file, &[("MSGSTREAM_NODES__NATS", "nats://c, nats://d")], Flags::default()).unwrap();
    assert_eq!(config.nodes.nats, ["nats://c", "nats://d"]);
    let flags = Flags { nats: vec!["nats://e".to_owned(), "nats://f,nats://g".to_owned()], ..Flags::default() };
    let config = load(file, &[("MSGSTREAM_NODES__NATS", "nats://c")], flags).unwrap();
    assert_eq!(config.nodes.nats, ["nats://e", "nats://f", "nats://g"]);
}

#[test]
fn every_kind_of_value_can_stand_in_a_variable() {
    let config = from_environment(&[
        ("MSGSTREAM_LISTEN", "127.0.0.1:1, unix:/tmp/s"),
        ("MSGSTREAM_HTTP__ORIGINS", "https://a.example, http://b.example:8080"),
        ("MSGSTREAM_LIMITS__LINE", "1048576"),
        ("MSGSTREAM_OUTBOX__LIMIT", "256MiB"),
        ("MSGSTREAM_LIMITS__STREAMS", "7"),
        ("MSGSTREAM_OUTBOX__WRITE_TIME", "1m 30s"),
        ("MSGSTREAM_OUTBOX__POLICY", "throttle"),
        ("MSGSTREAM_TCP__NO_DELAY", "false"),
        ("MSGSTREAM_UNIX__MODE", "0600"),
        ("MSGSTREAM_LOG__LEVEL", ""),
    ]);
    let config = config.unwrap();
    assert_eq!(addresses(&config), ["127.0.0.1:1", "unix:/tmp/s"]);
    assert_eq!((config.limits.line, config.outbox.limit, config.limits.streams), (ByteSize(1 << 20), ByteSize(256 << 20), 7));
    assert_eq!(config.http.origins, ["https://a.example", "http://b.example:8080"]);
    assert_eq!((config.outbox.write_time, config.outbox.policy), (Span::from_secs(90), Policy::Throttle));
    assert_eq!((config.tcp.no_delay, config.unix.mode), (false, 0o600));
    assert_eq!(config.log.level, LogLevel::Info, "an empty variable counts as unset");
}

#[test]
fn every_setting_has_a_variable_that_is_read() {
    for key in known_keys() {
        let (name, bad) = (variable(key), "\u{1F41F}");
        let read = || from_environment(&[(&name, bad)]).unwrap();
        let path = match key {
            "port_file" => read().port_file,
            "auth.tokens" => read().auth.tokens,
            "store.path" => read().store.path,
            "http.port_file" => {
                let listens = ("MSGSTREAM_HTTP__LISTEN", "127.0.0.1:0");
                from_environment(&[(&name, bad), listens]).unwrap().http.port_file
            }
            "tls.certificate" => read().tls.certificate,
            "tls.key" => read().tls.key,
            "tls.client_ca" => {
                let asks = ("MSGSTREAM_TLS__CLIENT_CERTIFICATES", "optional");
                from_environment(&[(&name, bad), asks]).unwrap().tls.client_ca
            }
            "nodes.credentials" => read().nodes.credentials,
            "nodes.ca" => read().nodes.ca,
            "nodes.certificate" => from_environment(&[(&name, bad), ("MSGSTREAM_NODES__KEY", "k")]).unwrap().nodes.certificate,
            "nodes.key" => from_environment(&[(&name, bad), ("MSGSTREAM_NODES__CERTIFICATE", "c")]).unwrap().nodes.key,
            "nodes.name" => Some(read().nodes.name.into()),
            _ => None,
        };
        if let Some(path) = path {
            assert_eq!(path, Path::new(bad));
        } else {
            assert_fails(from_environment(&[(&name, bad)]), &[&format!("{key} = "), bad, &format!("(from {name})")]);
        }
    }
}

// Mistakes.

#[test]
fn a_site_is_written_as_browsers_write_it() {
    let with = |origin: &str| from_environment(&[("MSGSTREAM_HTTP__ORIGINS", origin)]);
    for good in ["https://lab.example.org", "http://localhost:8000/", "https://[::1]:1, http://a_b"] {
        assert_eq!(with(good).unwrap().http.origins.join(", "), good);
    }
    for bad in
        ["*", "null", "lab.example.org", "https://", "https://a/b", "https://a?b", "https://b\u{fc}cher.example", "://a", "https://u@a"]
    {
        assert_fails(with(bad), &["http.origins = ", "write http:// or https://"]);
    }
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_one() {
    assert_fails(from_file("[outbox]\nlimt = 1"), &["unknown key \"outbox.limt\" in here.toml; did you mean \"outbox.limit\"?"]);
    assert_fails(from_file("workers = 1"), &["unknown key \"workers\" in here.toml; did you mean \"runtime.workers\"?"]);
    assert_fails(from_file("[limit]"), &["unknown key \"limit\" in here.toml"]);
    assert_fails(from_file("outbox = 1"), &["outbox = 1 (in here.toml): is a section: write [outbox]"]);
    assert_eq!(from_file("[outbox]").unwrap(), Config::default());
}

#[test]
fn an_unknown_variable_is_named_with_the_nearest_one() {
    for (unknown, value, nearest) in [
        ("MSGSTREAM_OUTBOX_LIMIT", "1", "MSGSTREAM_OUTBOX__LIMIT"),
        ("MSGSTREAM__LISTEN", "127.0.0.1:1", "MSGSTREAM_LISTEN"),
        ("MSGSTREAM_LISTEN_ADDRESS", "", "MSGSTREAM_LISTEN"),
        ("MSGSTREAM_PORT", "7342", "MSGSTREAM_LISTEN"),
        ("MSGSTREAM_WORKERS", "2", "MSGSTREAM_RUNTIME__WORKERS"),
        ("MSGSTREAM_LOGLEVEL", "warn", "MSGSTREAM_LOG__LEVEL"),
        ("MSGSTREAM_LIMITS__NONESUCH", "2", "MSGSTREAM_LIMITS__LINE"),
        ("MSGSTREAM_TCP_DELAY", "false", "MSGSTREAM_TCP__NO_DELAY"),
        ("MSGSTREAM_CONFIG", "msgstream.toml", "the flag --config"),
    ] {
        let outcome = from_environment(&[(unknown, value)]);
        assert_fails(outcome, &[&format!("unknown variable {unknown} in the environment; did you mean {nearest}?")]);
    }
}

#[test]
fn what_kubernetes_and_clients_put_into_the_environment_is_passed_over() {
    let environment = [
        ("MSGSTREAM_PORT", "tcp://10.0.0.1:7342"),
        ("MSGSTREAM_PORT_7342_TCP", "tcp://10.0.0.1:7342"),
        ("MSGSTREAM_PORT_7342_TCP_ADDR", "10.0.0.1"),
        ("MSGSTREAM_SERVICE_HOST", "10.0.0.1"),
        ("MSGSTREAM_SERVICE_PORT", "7342"),
        ("MSGSTREAM_SERVICE_PORT_JSON", "7342"),
        ("MSGSTREAM_WEB_PORT", "tcp://10.0.0.2:80"),
        ("MSGSTREAM_SERVER", "broker:7342"),
        ("MSGSTREAM_CA", "ca.pem"),
        ("MSGSTREAM_CERTIFICATE", "me.pem"),
        ("MSGSTREAM_KEY", "me-key.pem"),
        ("MSGSTREAM_BIN", "/usr/bin/msgstream"),
        ("MSGSTREAM_TOKEN", "secret"),
        ("MSGSTREAM_CLIENT_CONFIG", "client.toml"),
        ("MSGSTREAM_STREAM", "job-7"),
        ("MSGSTREAM_HOME", "/srv"),
        ("msgstream_listen", "nowhere"),
        ("PATH", "/bin"),
    ];
    assert_eq!(from_environment(&environment).unwrap(), Config::default());
}

#[test]
fn a_variable_that_is_not_utf8_is_refused_if_it_is_ours() {
    let load = |name: &str| {
        let environment = vec![(OsString::from(name), OsString::from_vec(vec![0xff]))];
        Config::load(Sources { environment, ..Sources::default() })
    };
    assert_fails(load("MSGSTREAM_PORT_FILE"), &["port_file = ", "(from MSGSTREAM_PORT_FILE): is not UTF-8"]);
    assert!(load("LESSOPEN").is_ok());
}

#[test]
fn a_value_of_the_wrong_kind_is_named_with_its_origin_and_the_cure() {
    for (file, parts) in [
        ("[limits]\nline = '12 furlongs'", ["limits.line = \"12 furlongs\" (in here.toml)", "such as \"64MiB\""]),
        ("[limits]\nended_time = 10", ["limits.ended_time = 10", "such as \"10s\""]),
        ("[limits]\nstreams = true", ["limits.streams = true", "is not a whole number"]),
        ("[limits]\nstreams = 1.5", ["limits.streams = 1.5", "is not a whole number"]),
        ("[limits]\nlistens = -1", ["limits.listens = -1", "is not a whole number"]),
        ("[tcp]\nbacklog = 4294967296", ["tcp.backlog = 4294967296", "from 0 to 4294967295"]),
        ("[tcp]\nkeepalive_retries = 4294967296", ["tcp.keepalive_retries = 4294967296", "from 0 to 4294967295"]),
        ("[tcp]\nno_delay = 'maybe'", ["tcp.no_delay = \"maybe\"", "is neither true nor false"]),
        ("[unix]\nmode = 0o660", ["unix.mode = 432", "\"0660\""]),
        ("[unix]\nmode = '0999'", ["unix.mode = \"0999\"", "\"0660\""]),
        ("[log]\nlevel = 'loud'", ["log.level = \"loud\"", "is not one of \"off\", \"error\""]),
        ("[outbox]\npolicy = 1", ["outbox.policy = 1", "is not one of \"disconnect\", \"throttle\""]),
        ("listen = '127.0.0.1:1'", ["listen = \"127.0.0.1:1\"", "write it in brackets"]),
        ("listen = [':7342']", ["listen = [\":7342\"]", "the host is missing"]),
        ("http.listen = ['msgpack+tcp://127.0.0.1:1']", ["http.listen = [\"msgpack+tcp://127.0.0.1:1\"]", "leave out \"msgpack+\""]),
        ("http.listen = [1]", ["http.listen = [1]", "1 is not an address"]),
        ("http.origins = ['lab.example.org']", ["http.origins = [\"lab.example.org\"]", "write http:// or https://"]),
        ("http.origins = ['https://lab.example.org/page']", ["http.origins", "is not a site"]),
        ("http.origins = ['*']", ["http.origins = [\"*\"]", "is not a site"]),
        ("port_file = 1", ["port_file = 1", "is not a path"]),
        ("nodes.nats = 'nats://a'", ["nodes.nats = \"nats://a\" (in here.toml)", "write it in brackets"]),
        ("nodes.nats = ['localhost:4222']", ["nodes.nats = [\"localhost:4222\"]", "write nats:// or tls://"]),
        ("nodes.nats = ['nats://']", ["nodes.nats = [\"nats://...\"]", "write nats:// or tls://"]),
        ("nodes.nats = ['nats://me:secret@a']", ["nodes.nats = [\"nats://...@a\"]", "name it in nodes.credentials"]),
        ("nodes.nats = ['nats://a:port']", ["nodes.nats = [\"nats://...\"]", "a host and a port"]),
        ("nodes.nats = [1]", ["nodes.nats = [1]", "1 is not a NATS server"]),
        ("nodes.name = 1", ["nodes.name = 1", "is not a text"]),
        ("nodes.replicas = 6", ["nodes.replicas = 6", "from 0 to 5"]),
        ("[tls]\nclient_certificates = 'yes'", ["tls.client_certificates = \"yes\"", "is not one of \"off\", \"optional\", \"required\""]),
    ] {
        assert_fails(from_file(file), &parts);
    }
    assert_fails(from_file("a = = 1"), &["here.toml is not valid TOML", "line 1"]);
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let outcome = load("[limits]\nlin = 1\nline = 'x'", &[("MSGSTREAM_LOG__LEVEL", "loud")], Flags::default());
    assert_fails(outcome, &["limits.lin", "limits.line", "log.level"]);
    assert_fails(from_file("listen = []\n[runtime]\nworkers = 0"), &["listen = []", "runtime.workers = 0"]);
}

#[test]
fn a_value_that_cannot_work_is_refused() {
    let long = format!("listen = ['unix:/{}']", "x".repeat(107));
    for (file, part) in [
        ("[runtime]\nworkers = 0", "runtime.workers = 0 (in here.toml): nobody would serve"),
        ("[runtime]\nworkers = 1025", "at most 1024"),
        ("listen = []", "nobody could connect"),
        ("listen = ['127.0.0.1:1', '127.0.0.1:1']", "is listed twice"),
        ("listen = ['127.0.0.1:1', '0.0.0.0:1']", "has the same port"),
        ("listen = ['unix:a', 'unix:a']", "is listed twice"),
        (&long, "may have 107 bytes, this one has 108"),
        ("http.listen = ['127.0.0.1:7342']", "http.listen = [\"127.0.0.1:7342\"] (in here.toml): 127.0.0.1:7342 is listed twice"),
        ("http.listen = ['0.0.0.0:1']", "http.listen = [\"0.0.0.0:1\"] (in here.toml): 0.0.0.0:1 can be reached from other machines"),
        ("http.listen = ['tls://127.0.0.1:1']", "tls.certificate = \"\" (by default): an address"),
        ("http.port_file = 'p'", "no address in \"http.listen\" has a port"),
        ("listen = ['unix:a']\nport_file = 'p'", "port_file = \"p\" (in here.toml): no address in \"listen\" has a port"),
        ("[limits]\nline = 63\nheader = 63\nname = 63", "limits.line = 63 bytes (in here.toml): no useful line would fit"),
        ("[limits]\nname = 0", "limits.name = 0 bytes"),
        ("[limits]\nname = '17MiB'", "limits.name = 17MiB"),
        ("[limits]\nheader = 0", "limits.header = 0 bytes"),
        ("[limits]\nheader = '17MiB'", "limits.header = 17MiB (in here.toml): arrives in one line, and limits.line is 16MiB"),
        ("[limits]\nheaders_total = '1kB'", "limits.headers_total = 1000 bytes"),
        ("[limits]\nunfinished_lines = '1MiB'", "limits.unfinished_lines = 1MiB"),
        ("[limits]\nstreams = 0", "there could be no stream"),
        ("[limits]\nlistens = 0", "nobody could listen"),
        ("[limits]\nerrors_in_a_row = 0", "limits.errors_in_a_row = 0"),
        ("[limits]\nreserved_descriptors = 0", "limits.reserved_descriptors = 0"),
        ("[limits]\nfirst_line_time = 0", "limits.first_line_time = 0ms"),
        ("[limits]\nline = '64MiB'", "outbox.limit = 64MiB (by default): the longest message (limits.line is 64MiB)"),
        ("[outbox]\nlimit = '16MiB'", "write at least 16385KiB"),
        ("[outbox]\ntotal = '1MiB'", "outbox.total = 1MiB"),
        ("[outbox]\nthrottle_time = 0", "outbox.throttle_time = 0ms"),
        ("[outbox]\nwrite_time = 0", "outbox.write_time = 0ms"),
        ("[outbox]\ndrain_time = 0", "outbox.drain_time = 0ms"),
        ("listen = ['0.0.0.0:1']", "(in here.toml): 0.0.0.0:1 can be reached from other machines"),
        ("listen = ['127.0.0.1:1', '[2001:db8::1]:1']", "set auth.allow_anonymous = true (MSGSTREAM_AUTH__ALLOW_ANONYMOUS=true)"),
        ("listen = ['msgpack+tcp://10.0.0.1:1']\n[auth]\nallow_anonymous = false", "name a file of tokens in auth.tokens"),
        ("[auth]\ntime = 0", "auth.time = 0ms"),
        ("[auth]\nwaiting = 0", "auth.waiting = 0"),
        ("[limits]\nline = 1000\nheader = 1000\nname = 1000\n[auth]\ntokens = 't'", "the line that shows a token"),
        ("[tcp]\nkeepalive_time = '999ms'", "tcp.keepalive_time = 999ms"),
        ("[tcp]\nkeepalive_interval = '1d'", "tcp.keepalive_interval = 1d"),
        ("[tcp]\nkeepalive_retries = 128", "the system takes 1 to 127"),
        ("[tcp]\nsend_buffer = '2GiB'", "tcp.send_buffer = 2GiB"),
        ("[tcp]\nbacklog = 0", "tcp.backlog = 0"),
        ("[unix]\nmode = '0440'", "unix.mode = \"0440\""),
        (
            "listen = ['tls://127.0.0.1:1']\ntls.key = 'k'",
            "tls.certificate = \"\" (by default): an address in \"listen\" begins with tls://",
        ),
        ("listen = ['tls://127.0.0.1:1']\ntls.certificate = 'c'", "tls.key = \"\" (by default): an address"),
        ("listen = ['127.0.0.1:1', 'tls://127.0.0.1:1']", "has the same port"),
        ("[nodes]\nspace = ''", "nodes.space = \"\" (in here.toml): NATS could not use it"),
        ("[nodes]\nspace = 'a.b'", "write up to 64 letters, digits, - and _"),
        ("[nodes]\nspace = 'lab-state'", "nodes.space = \"lab-state\" (in here.toml): ends as the stream of a state does"),
        ("[nodes]\nname = 'abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklm'", "write at most 64 bytes"),
        ("[nodes]\nreplicas = 2", "nodes.replicas = 2 (in here.toml): NATS keeps 1, 3 or 5"),
        ("[nodes]\nlease = '2s'", "nodes.lease = 2s (in here.toml): nodes speak once a second; write 3s or more"),
        ("[nodes]\nlog = '8MB'", "write 8MiB or more"),
        ("[nodes]\ncertificate = 'c'", "nodes.certificate = \"c\" (in here.toml): needs nodes.key; set both or none"),
        ("[nodes]\nkey = 'k'", "nodes.key = \"k\" (in here.toml): needs nodes.certificate"),
        (
            "[nodes]\nnats = ['nats://a']\n[store]\npath = 's'",
            "store.path = \"s\" (in here.toml): the streams of nodes are kept in NATS (nodes.nats); remove one of the two",
        ),
        ("[tls]\nclient_ca = 'c'", "tls.client_certificates = \"off\" (by default): clients are asked for no certificate"),
        ("[tls]\nclient_certificates = 'required'", "tls.client_ca = \"\" (by default): nobody's certificate could be verified"),
    ] {
        assert_fails(from_file(file), &[part]);
    }
}

#[test]
fn what_is_no_value_of_its_kind_is_told_with_what_would_be_one() {
    for (file, parts) in [
        ("[auth]\n\nwaiting = 99999999999999999999", &["line 3", "waiting"][..]),
        ("[auth]\ntokens = 3", &["auth.tokens = 3 (in here.toml): is not a path: write a text such as \"/etc/msgstream/tokens.toml\""]),
        ("[auth]\nallow_anonymous = 'yes'", &["auth.allow_anonymous = \"yes\" (in here.toml): ", "write one of them"]),
        ("[auth]\nallow_anonymous = 1", &["auth.allow_anonymous = 1 (in here.toml): ", "write one of them"]),
    ] {
        assert_fails(from_file(file), parts);
    }
}

// Seen to fail when the value, the key or the line was repeated.
#[test]
fn a_secret_that_was_pasted_into_the_configuration_is_shown_by_no_error() {
    for file in [
        "[auth]\ntokens = mst_secret",
        "[auth]\nwaiting = 'mst_secret'",
        "[auth]\nmst_secret = 1",
        "mst_secret = 1",
        "auth = 'mst_secret'",
        "listen = ['mst_secret:x:y']",
        "listen = 'mst_secret'",
        "port_file = 'mst_secret'\nlisten = ['unix:a']",
        "[tls]\nkey = \"-----BEGIN PRIVATE KEY-----\nsecret\"",
        "[tls]\nkey = '-----BEGIN PRIVATE KEY-----'\nsecret",
        "[limits]\nline = '-----BEGIN PRIVATE KEY-----secret'",
    ] {
        let told = from_file(file).unwrap_err().to_string();
        assert!(!told.contains("secret") && told.contains("there is a token or a key"), "{file}: {told}");
    }
    let told = from_environment(&[("MSGSTREAM_AUTH__WAITING", "mst_secret")]).unwrap_err().to_string();
    assert!(!told.contains("secret") && told.contains("MSGSTREAM_AUTH__WAITING"), "{told}");
}

// Each of them seen to be shown before passwords were left out.
#[test]
fn a_password_of_nats_is_shown_by_no_error() {
    for file in [
        "nodes.nats = 'nats://me:secret@h'",
        "nodes.nats = ['nats://me:secret@h/path', 'x']",
        "nodes.nats = ['nats://me:se cret@h']",
        "nodes.nats = ['me:secret@h:4222']",
        "nodes.nats = ['nats://me:secret']",
        "nodes.space = 'nats://me:secret@h'",
        "listen = ['nats://me:secret@h']",
        "http.origins = ['nats://me:secret@h']",
        "limits.line = 'nats://me:secret@h'",
        "[nodes]\nnats = ['nats://me:secret@h'",
        "[nodes]\nnats = nats://me:secret@h",
    ] {
        let told = from_file(file).unwrap_err().to_string();
        assert!(!told.contains("secret") && !told.contains("cret"), "{file}: {told}");
    }
    let told = from_environment(&[("MSGSTREAM_NODES__NATS", "nats://me:se,cret@h")]).unwrap_err().to_string();
    assert!(told.contains("nodes.nats = ") && told.contains("...@h") && !told.contains("me:se") && !told.contains("cret"), "{told}");
    let settings = msgstream::broker::NodesSettings::on(["nats://me:secret@h"]);
    assert!(format!("{settings:?}").contains("nats://...@h") && !format!("{settings:?}").contains("secret"));
}

#[test]
fn what_is_just_within_the_bounds_is_taken() {
    let longest = format!("listen = ['unix:/{}']", "x".repeat(106));
    for file in [
        &longest,
        "listen = ['127.0.0.1:0', '127.0.0.1:0', '[::]:7342', '0.0.0.0:7342']\n[auth]\nallow_anonymous = true",
        "listen = ['[::]:7342']\n[auth]\ntokens = 'nonexistent'",
        "listen = ['127.1.2.3:1', '[::1]:1', '[::ffff:127.0.0.1]:1', 'unix:a']\n[auth]\nwaiting = 1",
        "[runtime]\nworkers = 1024",
        "[limits]\nline = 64\nheader = 64\nname = 64\nended_time = 0",
        "[outbox]\nlimit = '16385KiB'\ntotal = '16385KiB'",
        "[tcp]\nkeepalive_time = '1s'\nkeepalive_retries = 127\nsend_buffer = 0\nuser_timeout = 0",
        "[unix]\nmode = '0o200'",
        "[nodes]\nnats = ['nats://a', 'tls://b-c.example:65535']\nreplicas = 5\nlease = '3s'\nlog = '8MiB'",
        "[nodes]\nspace = 'A-z_9'\n[store]\npath = 's'",
    ] {
        assert!(from_file(file).is_ok(), "{file}: {:?}", from_file(file));
    }
}
