//! token new, list and revoke; and the commands on a broker that asks for one.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;

use crate::folder::Folder;
use crate::screen::Terminal;
use crate::{Broker, assert_fails, program, text};

/// A folder with a file of tokens, gone with the test.
struct Place(Folder);

impl Place {
    fn new(name: &str) -> Self {
        Self(Folder::new(&format!("tokens-{name}")))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn tokens(&self) -> String {
        fs::read_to_string(self.file("tokens.toml")).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(&["token"]);
        command.args(arguments).env("MSGSTREAM_AUTH__TOKENS", self.file("tokens.toml"));
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Makes a token, and returns it.
    fn new_token(&self, arguments: &[&str]) -> String {
        let output = self.output(&[&["new"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout).trim_end().to_owned()
    }

    /// A broker that lets in who the file names.
    fn broker(&self) -> Broker {
        let mut serve = program(&["serve", "--listen", "127.0.0.1:0"]);
        serve.env("MSGSTREAM_AUTH__TOKENS", self.file("tokens.toml"));
        Broker::serve(serve)
    }
}

#[test]
fn a_token_is_printed_once_and_the_file_holds_only_its_digest() {
    let place = Place::new("printed");
    let output = place.output(&["new", "fits", "--publish", "fit-", "--publish", "sim \"1\"", "--listen", "", "--expires", "90d"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let (printed, said) = (text(&output.stdout), text(&output.stderr));
    let token = printed.strip_suffix('\n').unwrap();
    assert!(token.len() == 52 && token.starts_with("mst_") && token[4..].bytes().all(|byte| byte.is_ascii_hexdigit()), "{printed}");
    assert!(said.contains("\"fits\" counts once the broker has read") && !said.contains("mst_"), "{said}");
    let written = place.tokens();
    assert!(!written.contains("mst_"), "{written}");
    for part in ["[fits]\nsha256 = \"", "publish = [\"fit-\", \"sim \\\"1\\\"\"]\nlisten = [\"\"]\n", "expires = 20"] {
        assert!(written.contains(part), "{part:?} is not in {written}");
    }
    assert_eq!(fs::metadata(place.file("tokens.toml")).unwrap().mode() & 0o777, 0o600);
    assert_ne!(place.new_token(&["other", "--admin"]), token);
    assert_eq!(fs::read_dir(&*place.0).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn tokens_are_listed_without_their_secret_and_revoked() {
    let place = Place::new("listed");
    fs::write(place.file("tokens.toml"), "# ours\n[me]\nunix_user = 7 # by hand\nlisten = ['']\n").unwrap();
    fs::set_permissions(place.file("tokens.toml"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink(place.file("tokens.toml"), place.file("link.toml")).unwrap();
    place.new_token(&["day", "--publish", "a-", "--listen", "b-", "--expires", "2120-01-31"]);
    place.new_token(&["all", "--admin", "--expires", "2120-01-31T12:00:00+01:00", "--file", place.file("link.toml").to_str().unwrap()]);
    let table = place.output(&["list"]);
    let expected = "\
NAME  PROOF        EXPIRES               PUBLISH  LISTEN  ADMIN
all   token        2120-01-31T11:00:00Z  -        -       yes
day   token        2120-01-31T00:00:00Z  a-*      b-*     -
me    unix_user 7  -                     -        *       -
";
    assert_eq!(text(&table.stdout), expected);
    let json = place.output(&["list", "--json"]);
    let lines: Vec<serde_json::Value> = text(&json.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let day = serde_json::json!({"name": "day", "proof": "token", "who": null, "expires": "2120-01-31T00:00:00Z", "expired": false, "publish": ["a-"], "listen": ["b-"], "admin": false});
    assert_eq!(lines[1], day);

    assert_eq!(place.output(&["revoke", "day"]).status.code(), Some(0));
    let written = place.tokens();
    assert!(
        written.starts_with("# ours\n[me]\nunix_user = 7 # by hand\n") && !written.contains("[day]") && written.contains("[all]"),
        "{written}"
    );
    assert_eq!(fs::metadata(place.file("tokens.toml")).unwrap().mode() & 0o777, 0o640, "who may read it stays");
    assert!(fs::symlink_metadata(place.file("link.toml")).unwrap().is_symlink());
    assert_fails(&place.output(&["revoke", "day"]), 78, "there is no \"day\"");
    assert_fails(&place.output(&["new", "me", "--admin"]), 78, "there is a \"me\" already");
}

#[test]
fn what_is_asked_wrongly_is_refused_with_the_cure() {
    let place = Place::new("wrong");
    assert_fails(&place.output(&["new", "a b", "--admin"]), 64, "a name has");
    assert_fails(&place.output(&["new", "a", "--admin", "--expires", "soon"]), 64, "write a time such as 90d");
    assert_fails(&place.output(&["new", "a", "--admin", "--expires", "2020-01-31"]), 64, "over already");
    assert_fails(&place.output(&["new", "a", "--admin", "--expires", "1ms"]), 64, "over already");
    // A moment without its offset: nobody knows which it is.
    for moment in ["2127-01-31T12:00", "2127-01-31T12:00:00", "2127-01-31 12:00", "2127-01-31T12", "2127-01-31[UTC]", "12:00"] {
        assert_fails(&place.output(&["new", "a", "--admin", "--expires", moment]), 64, "write a time such as 90d");
    }
    assert_fails(&place.output(&["new", "a", "--publish", "$streams/"]), 78, "the broker's own");
    assert!(!place.file("tokens.toml").exists());
    assert_fails(&place.output(&["list"]), 78, "msgstream token new");
    fs::write(place.file("tokens.toml"), "[a\n").unwrap();
    for arguments in [&["list"][..], &["new", "a", "--admin"], &["revoke", "a"]] {
        assert_fails(&place.output(arguments), 78, "line 1");
    }
    let mut serve = program(&["serve", "--check"]);
    serve.env("MSGSTREAM_AUTH__TOKENS", place.file("tokens.toml"));
    assert_fails(&serve.output().unwrap(), 78, "line 1");
    assert_eq!(place.tokens(), "[a\n", "it is left as it is");
    // A shell's variable that is empty must not stand for the system's file.
    assert_fails(&place.output(&["list", "--file", ""]), 64, "leave the option out");
    // A path that was mistyped.
    let nowhere = place.file("no/such/x.toml");
    assert_fails(&place.output(&["new", "a", "--admin", "--file", nowhere.to_str().unwrap()]), 74, "there is no directory");
    assert!(!place.file("no").exists());
}

/// As TOML writes it, and as the broker reads it.
#[test]
fn a_day_and_a_moment_are_written_as_toml_has_them() {
    let place = Place::new("expires");
    for (number, (when, written, listed)) in [
        ("2127-01-31", "2127-01-31", "2127-01-31T00:00:00Z"),
        ("21270131", "2127-01-31", "2127-01-31T00:00:00Z"),
        ("2127-01-31T12:00:00+01:00", "2127-01-31T11:00:00Z", "2127-01-31T11:00:00Z"),
        ("2127-01-31T00:30+01:00", "2127-01-30T23:30:00Z", "2127-01-30T23:30:00Z"),
        ("2127-01-31t12:00:00.5z", "2127-01-31T12:00:00Z", "2127-01-31T12:00:00Z"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("t{number}");
        place.new_token(&[&name, "--admin", "--expires", when]);
        assert!(place.tokens().contains(&format!("\nexpires = {written}\n")), "{when}: {}", place.tokens());
        let list = place.output(&["list", "--json"]);
        let line: serde_json::Value = serde_json::from_str(text(&list.stdout).lines().nth(number).unwrap()).unwrap();
        assert_eq!((&line["name"], &line["expires"]), (&name.into(), &listed.into()), "{when}");
        assert!(place.output(&["revoke", &format!("t{number}")]).status.success());
        place.new_token(&[&format!("t{number}"), "--admin"]);
    }
}

/// As a probe of a broker needs it.
#[test]
fn a_token_without_rights_shows_that_the_broker_is_there_and_no_more() {
    let place = Place::new("probe");
    let output = place.output(&["new", "probe"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("no right to any stream"), "{}", text(&output.stderr));
    let (token, broker) = (text(&output.stdout).trim_end(), place.broker());
    let with = |arguments: &[&str]| broker.command(arguments).env("MSGSTREAM_TOKEN", token).output().unwrap();
    let healthy = with(&["health", "--timeout", "60s"]);
    assert_eq!(healthy.status.code(), Some(0), "{}", text(&healthy.stderr));
    for arguments in [&["put", "job", "1"][..], &["get", "job"], &["streams"], &["listen", "--prefix", ""]] {
        assert_fails(&with(arguments), 77, "\"probe\" has no right");
    }
    assert!(!text(&place.output(&["new", "other", "--listen", "x"]).stderr).contains("no right"));
}

/// Every user of the machine can see the arguments of a program.
#[test]
fn no_command_takes_a_token_as_an_argument() {
    for command in ["listen", "put", "header", "close", "delete", "get", "wait", "streams", "health", "run"] {
        let refused = program(&[command, "--token", "mst_0123"]).output().unwrap();
        assert_fails(&refused, 64, "unexpected argument '--token' found");
        assert_fails(&refused, 64, "'--token-file'");
    }
}

/// The most particular way to give one counts, and the others are not even read.
#[test]
fn of_several_tokens_the_one_that_is_nearest_counts() {
    let place = Place::new("nearest");
    let make = |name: &str| {
        let token = place.new_token(&[name, "--publish", name]);
        fs::write(place.file(name), &token).unwrap();
        fs::set_permissions(place.file(name), fs::Permissions::from_mode(0o600)).unwrap();
        token
    };
    let variable = make("variable");
    ["flag", "file", "configured"].into_iter().for_each(|name| drop(make(name)));
    let broker = place.broker();
    let configure = |file: &str| {
        fs::create_dir_all(place.file("msgstream")).unwrap();
        let text = format!("server = '{}'\ntoken_file = '{}'\n", broker.address, place.file(file).display());
        fs::write(place.file("msgstream/client.toml"), text).unwrap();
    };
    // Who it is stands in the refusal.
    let is = |who: &str, flag: &str, variable: &str, file: &str| {
        let mut command = program(&["put", "else", "1"]);
        if !flag.is_empty() {
            command.arg("--token-file").arg(place.file(flag));
        }
        let file = if file.is_empty() { "".into() } else { place.file(file) };
        command.env("XDG_CONFIG_HOME", &*place.0).env("MSGSTREAM_TOKEN", variable).env("MSGSTREAM_TOKEN_FILE", file);
        assert_fails(&command.output().unwrap(), 77, &format!("\"{who}\" has no right to \"put\""));
    };
    configure("configured");
    is("flag", "flag", &variable, "file");
    is("variable", "", &variable, "file");
    is("file", "", "", "file");
    is("configured", "", "", "");
    configure("nonexistent");
    is("flag", "flag", "not a token", "nonexistent");
    is("variable", "", &variable, "nonexistent");
    is("file", "", "", "file");
    // One that counts and cannot be used is told, with its place.
    let mut command = broker.command(&["put", "else", "1"]);
    let unread = command.env("MSGSTREAM_TOKEN_FILE", place.file("nonexistent")).output().unwrap();
    assert_fails(&unread, 78, "MSGSTREAM_TOKEN_FILE: cannot read the token in ");
    let mut command = program(&["put", "else", "1"]);
    let unread = command.env("XDG_CONFIG_HOME", &*place.0).output().unwrap();
    assert_fails(&unread, 78, "client.toml, line 2: cannot read the token in ");
}

// Seen to fail without the lock.
#[test]
fn two_at_once_lose_nothing() {
    let place = Place::new("both");
    let made: Vec<_> = (0..16)
        .map(|number| {
            let mut command = place.command(&["new", &format!("t{number}"), "--admin"]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in made {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert_eq!(text(&place.output(&["list", "--json"]).stdout).lines().count(), 16);
}

#[test]
fn the_commands_show_their_token_and_may_do_what_it_allows() {
    let place = Place::new("shown");
    let token = place.new_token(&["fits", "--publish", "fit-", "--listen", "fit-"]);
    let broker = place.broker();
    let with = |variable: &str, arguments: &[&str]| broker.command(arguments).env("MSGSTREAM_TOKEN", variable).output().unwrap();
    for output in [with("", &["put", "fit-1", "1"]), broker.output(&["listen", "fit-1"]), broker.output(&["streams"])] {
        assert_fails(&output, 77, "set MSGSTREAM_TOKEN");
        // Once, and in the words of the command line.
        let said = text(&output.stderr);
        assert!(said.matches("MSGSTREAM_TOKEN").count() == 1 && !said.contains("::") && !said.contains("{\"action\""), "{said}");
    }
    assert_fails(&with("mst_0123456789", &["put", "fit-1", "1"]), 77, "nobody has this token");
    assert_fails(&with("two words", &["put", "fit-1", "1"]), 78, "MSGSTREAM_TOKEN: a token is one word");
    let done = with(&token, &["header", "fit-1", "[1]"]);
    assert_eq!((done.status.code(), text(&done.stderr)), (Some(0), ""));
    assert_eq!(text(&with(&token, &["get", "fit-1"]).stdout), "[1]\n");
    assert_fails(&with(&token, &["put", "job", "1"]), 77, "\"fits\" has no right to \"put\" on \"job\"");
    assert_fails(&with(&token, &["streams"]), 77, "admin = true");
    assert_fails(&with(&token, &["streams"]), 77, "msgstream streams PREFIX");
    let top = |arguments: &[&str]| Terminal::start(broker.command(arguments).env("MSGSTREAM_TOKEN", &token), 20, 100);
    let (code, shown) = top(&["top"]).end();
    assert!(code == Some(77) && shown.contains("\"msgstream top PREFIX\""), "{shown}");
    top(&["top", "fit-"]).until(|shown| shown.screen.iter().any(|row| row.starts_with("fit-1  ") && row.contains("[1]")));
    for command in ["listen", "get", "wait"] {
        let refused = with(&token, &[command, "job"]);
        assert_fails(&refused, 77, "\"fits\" has no right to \"listen\" on \"job\"");
        assert!(!text(&refused.stderr).contains("cut off") && !text(&refused.stderr).contains("go on"), "{}", text(&refused.stderr));
    }
    let shown = with(&token, &["streams", "fit-", "--json"]);
    assert!(text(&shown.stdout).contains("fit-1"), "{}{}", text(&shown.stdout), text(&shown.stderr));

    let file = place.file("token");
    let by_file = |arguments: &[&str]| broker.command(arguments).arg("--token-file").arg(&file).output().unwrap();
    fs::write(&file, format!("{token}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_fails(&by_file(&["get", "fit-1"]), 78, "chmod 600");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(text(&by_file(&["get", "fit-1"]).stdout), "[1]\n");

    fs::create_dir(place.file("msgstream")).unwrap();
    fs::write(place.file("msgstream/client.toml"), format!("token_file = '{}'\n", file.display())).unwrap();
    let get = |command: &mut Command| command.env("XDG_CONFIG_HOME", &*place.0).output().unwrap();
    // It is for the broker that is named beside it, and no other one is shown it.
    assert_fails(&get(&mut broker.command(&["get", "fit-1"])), 77, "set MSGSTREAM_TOKEN");
    let both = format!("token_file = '{}'\nserver = '{}'\n", file.display(), broker.address);
    fs::write(place.file("msgstream/client.toml"), both).unwrap();
    let configured = get(&mut program(&["get", "fit-1"]));
    assert_eq!(text(&configured.stdout), "[1]\n", "{}", text(&configured.stderr));
}

#[test]
fn a_listener_whose_token_is_revoked_is_told_and_stops() {
    let place = Place::new("revoked");
    let (all, one) = (place.new_token(&["all", "--publish", "", "--listen", ""]), place.new_token(&["one", "--listen", ""]));
    let broker = place.broker();
    let mut put = broker.command(&["header", "job", "1"]);
    assert_eq!(put.env("MSGSTREAM_TOKEN", &all).status().unwrap().code(), Some(0));
    let mut listen = broker.command(&["listen", "job", "--reconnect"]);
    let mut child = listen.env("MSGSTREAM_TOKEN", &one).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut shown = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut shown, &mut String::new()).unwrap();
    assert_eq!(place.output(&["revoke", "one"]).status.code(), Some(0));
    let said = thread::spawn(move || child.wait_with_output().unwrap()).join().unwrap();
    assert_fails(&said, 77, "revoked");
}

#[test]
fn a_job_whose_token_is_revoked_is_told_why_its_output_is_missing() {
    let place = Place::new("job");
    let (all, token) = (place.new_token(&["all", "--listen", ""]), place.new_token(&["one", "--publish", ""]));
    let broker = place.broker();
    let mut run = broker.command(&["run", "job", "--", "sh", "-c", "read go; echo 1; echo 2"]);
    run.env("MSGSTREAM_TOKEN", token).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = run.spawn().unwrap();
    // Its header has come.
    let mut listen = broker.command(&["listen", "job"]);
    let mut listen = listen.env("MSGSTREAM_TOKEN", all).stdout(Stdio::piped()).spawn().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(listen.stdout.take().unwrap()), &mut String::new()).unwrap();
    let _ = listen.kill();
    let _ = listen.wait();
    assert_eq!(place.output(&["revoke", "one"]).status.code(), Some(0));
    let mut told = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    std::io::BufRead::read_line(&mut told, &mut said).unwrap();
    assert!(said.contains("nothing more goes to the broker") && said.contains("revoked"), "{said}");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"\n").unwrap();
    said.clear();
    std::io::Read::read_to_string(&mut told, &mut said).unwrap();
    assert!(said.contains("2 lines of output were not published: nothing more went to the broker"), "{said}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
