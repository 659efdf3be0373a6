//! What a client is given, an address, a token, certificates, and how it says what is wrong with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Output, Stdio};

use crate::folder::Folder;
use crate::{Broker, assert_fails, program, text};

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

/// A folder, gone with the test.
struct Given(Folder);

impl Given {
    fn new(name: &str) -> Self {
        let folder = Folder::new(&format!("given-{name}"));
        fs::create_dir(folder.join("msgstream")).unwrap();
        Self(folder)
    }

    /// A file that only its owner may read.
    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn pipe(&self, name: &str) -> String {
        let path = self.0.join(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path.to_str().unwrap().to_owned()
    }

    /// "msgstream health" with this configuration of clients, ended if it hangs.
    fn health(&self, config: impl AsRef<[u8]>, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
        self.file("msgstream/client.toml", config);
        let health = program(&["health"]);
        let mut bounded = Command::new("timeout");
        bounded.arg("60").arg(health.get_program()).args(health.get_args()).args(arguments).stdin(Stdio::null());
        for (name, value) in health.get_envs() {
            match value {
                Some(value) => bounded.env(name, value),
                None => bounded.env_remove(name),
            };
        }
        bounded.env("XDG_CONFIG_HOME", &*self.0).envs(variables.iter().copied()).output().unwrap()
    }
}

#[test]
fn a_named_pipe_is_refused_and_not_waited_for() {
    let folder = Given::new("pipe");
    let pipe = folder.pipe("pipe");
    let said = format!("{pipe} is a named pipe, a device or a socket, and not a file");
    assert_fails(&folder.health("", &[], &["--server", NOWHERE, "--token-file", &pipe]), 78, &said);
    assert_fails(&folder.health("", &[("MSGSTREAM_TOKEN_FILE", &pipe)], &["--server", NOWHERE]), 78, &said);
    assert_fails(&folder.health("", &[], &["--server", "tls://127.0.0.1:1", "--ca", &pipe]), 78, &said);
    fs::remove_file(folder.0.join("msgstream/client.toml")).unwrap();
    fs::create_dir_all(folder.0.join("other/msgstream")).unwrap();
    let config = folder.pipe("other/msgstream/client.toml");
    let other = folder.0.join("other");
    let said = format!("{config} is a named pipe");
    assert_fails(&folder.health("", &[("XDG_CONFIG_HOME", other.to_str().unwrap())], &[]), 78, &said);
}

/// As <(...) of a shell makes one.
#[test]
fn a_pipe_that_is_open_already_is_read() {
    for place in ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
        let script = format!("echo mst_0123 | \"$0\" health --server {NOWHERE} --token-file {place}");
        let output = Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_msgstream")]).output().unwrap();
        assert_fails(&output, 69, "cannot connect");
    }
}

#[test]
fn certificates_are_refused_where_nothing_is_encrypted() {
    let folder = Given::new("plain");
    let ca = folder.file("ca.pem", "");
    for (flag, variable, key) in
        [("--ca", "MSGSTREAM_CA", "ca"), ("--certificate", "MSGSTREAM_CERTIFICATE", "certificate"), ("--key", "MSGSTREAM_KEY", "key")]
    {
        let said = format!(
            "{NOWHERE} is an address without TLS, where {flag}, {variable} or \"{key}\" in client.toml is of no use; write \"tls://\""
        );
        assert_fails(&folder.health("", &[], &["--server", NOWHERE, flag, &ca]), 78, &said);
        assert_fails(&folder.health("", &[(variable, &ca)], &["--server", NOWHERE]), 78, &said);
        assert_fails(&folder.health(format!("server = '{NOWHERE}'\n{key} = '{ca}'"), &[], &[]), 78, &said);
        // They are for the broker beside them.
        assert_fails(&folder.health(format!("{key} = '{ca}'"), &[], &["--server", NOWHERE]), 69, "cannot connect");
        assert_fails(&folder.health(format!("server = '{NOWHERE}'\n{key} = ''"), &[(variable, "")], &[]), 69, "cannot connect");
        // Nobody thinks of encryption there.
        assert_fails(&folder.health("", &[(variable, &ca)], &["--server", "unix:/nonexistent"]), 69, "cannot connect");
    }
}

#[test]
fn what_may_be_a_secret_is_not_repeated() {
    let folder = Given::new("secret");
    let (token, place) = ("mst_0123456789", "there is a token or a key)");
    let not_repeated = |output: &Output, part: &str| {
        assert_fails(output, 78, part);
        let said = text(&output.stderr);
        assert!(!said.contains("0123") && !said.contains("BEGIN"), "{said}");
    };
    not_repeated(&folder.health("", &[], &["--server", NOWHERE, "--token-file", token]), place);
    not_repeated(&folder.health("", &[("MSGSTREAM_TOKEN_FILE", token)], &["--server", NOWHERE]), place);
    not_repeated(&folder.health("", &[], &["--server", token]), place);
    not_repeated(&folder.health("", &[("MSGSTREAM_SERVER", token)], &[]), place);
    not_repeated(&folder.health("", &[], &["--server", "http://mst_0123456789"]), place);
    not_repeated(&folder.health("", &[], &["--server", "tls://127.0.0.1:1", "--certificate=-----BEGIN PRIVATE KEY-----\n0123"]), place);
    for config in ["mst_0123 = 'x'", "server = 'x' mst_0123", "server = 'mst_0123'", "server = 'http://mst_0123'", "-----BEGIN 0123 = 'x'"]
    {
        let output = folder.health(config, &[], &[]);
        not_repeated(&output, place);
        not_repeated(&output, "client.toml, line 1: ");
    }
}

#[test]
fn a_key_that_begins_alike_is_the_one_that_is_meant() {
    let folder = Given::new("alike");
    for (key, meant) in [("token", "token_file"), ("cert", "certificate"), ("sever", "server"), ("tokenfile", "token_file")] {
        let output = folder.health(format!("{key} = \"mst_0123\""), &[], &[]);
        assert_fails(&output, 78, &format!("unknown key {key:?}; did you mean {meant:?}?"));
    }
}

#[test]
fn files_of_certificates_are_read_before_anybody_is_called() {
    let folder = Given::new("unread");
    let empty = folder.file("empty.pem", "");
    let server = ["--server", "tls://127.0.0.1:1"];
    for (command, rest) in
        [("health", &[][..]), ("listen", &["--reconnect", "job"]), ("wait", &["--reconnect", "job"]), ("run", &["job", "--", "true"])]
    {
        for ca in ["/nonexistent/ca.pem", &empty] {
            let mut given = program(&[command, "--ca", ca]);
            assert_fails(&given.args(server).args(rest).output().unwrap(), 78, ca);
        }
    }
    let key = [&server[..], &["--key", &empty]].concat();
    assert_fails(&folder.health("", &[], &key), 78, "no certificate to go with the key");
}

#[test]
fn a_fault_of_the_configuration_is_told_without_the_usage() {
    let folder = Given::new("usage");
    let output = folder.health("", &[], &["--server", NOWHERE, "--token-file", "/nonexistent"]);
    assert_fails(&output, 78, "cannot read the token in /nonexistent: No such file");
    assert_eq!(text(&output.stderr).lines().count(), 1, "{}", text(&output.stderr));
}

#[test]
fn a_token_is_read_as_people_save_it_and_refused_with_the_cure() {
    let folder = Given::new("token");
    let by_file = |text: &[u8]| folder.health("", &[], &["--server", NOWHERE, "--token-file", &folder.file("token", text)]);
    let by_variable = |text: &str| folder.health("", &[("MSGSTREAM_TOKEN", text)], &["--server", NOWHERE]);
    assert_fails(&by_variable("  \t"), 69, "cannot connect");
    assert_fails(&by_file(b"\xef\xbb\xbfmst_0123\r\n"), 69, "cannot connect");
    assert_fails(&by_file(b"\xff\xfem\0s\0t\0"), 78, "save it as UTF-8");
    for quoted in ["\"mst_0123\"", "'mst_0123'"] {
        assert_fails(&by_file(quoted.as_bytes()), 78, "without quotes");
        assert_fails(&by_variable(quoted), 78, "MSGSTREAM_TOKEN: a token is one word");
    }
    let config = [b"\xef\xbb\xbf", format!("server = '{NOWHERE}'").as_bytes()].concat();
    assert_fails(&folder.health(config, &[], &[]), 69, "cannot connect");
    assert_fails(&folder.health(b"\xff\xfes\0", &[], &[]), 78, "save it as UTF-8");
}

/// What a program would change in its code is nothing to the people of the command line.
#[test]
fn nothing_of_the_library_is_told() {
    let folder = Given::new("library");
    let empty = folder.file("empty.pem", "");
    let output = folder.health("", &[], &["--server", "tls://127.0.0.1:1", "--ca", &empty]);
    assert_fails(&output, 78, "(--ca): there is no certificate in it");
    assert!(!text(&output.stderr).contains("::"), "{}", text(&output.stderr));
    // Nor is what a line of the protocol looks like.
    folder.file("tokens.toml", "[a]\nunix_user = 0\n");
    let mut serve = program(&["serve", "--listen", "127.0.0.1:0"]);
    let broker = Broker::serve({
        serve.env("MSGSTREAM_AUTH__TOKENS", folder.0.join("tokens.toml"));
        serve
    });
    for arguments in [&["run", "s", "--", "true"][..], &["put", "s"], &["get", "s"], &["streams"], &["listen", "s"]] {
        let told = broker.command(arguments).stdin(Stdio::null()).output().unwrap();
        let told = text(&told.stderr);
        assert!(!told.contains("::") && !told.contains("\"action\""), "{arguments:?}: {told}");
    }
}

/// A newcomer waits as long as the broker takes nobody, for as long as it was told to.
#[test]
fn a_socket_whose_newcomers_wait_in_line_is_tried_again() {
    let folder = Given::new("backlog");
    let path = folder.0.join("socket");
    let listening = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listening, 0).unwrap();
    let waiting = UnixStream::connect(&path).unwrap();
    let health = program(&["health", "--timeout", "50ms"]).arg("--server").arg(format!("unix:{}", path.display())).output().unwrap();
    assert_fails(&health, 124, "has not answered within 50ms");
    drop(waiting);
}
