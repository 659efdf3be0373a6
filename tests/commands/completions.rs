//! completions: the names of streams where one is to be named, in real shells.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::{Broker, program, text};

/// A folder of a test's own, with the script of a shell.
fn script(shell: &str, test: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("completions-{test}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("script"), program(&["completions", shell]).output().unwrap().stdout).unwrap();
    folder
}

/// A shell with the program in its path.
fn shell(name: &str, broker: &str, folder: &PathBuf) -> Command {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_msgstream"));
    let path = std::env::join_paths(
        [program.parent().unwrap().to_owned()]
            .into_iter()
            .chain(std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect::<Vec<_>>()),
    );
    let mut shell = Command::new(name);
    shell.env("PATH", path.unwrap()).env("MSGSTREAM_SERVER", broker).env("HOME", folder).env("XDG_CONFIG_HOME", folder).current_dir(folder);
    shell
}

/// Calls the function as bash does, with the words as it splits the line.
const BASH: &str = r#"
source ./script
COMP_LINE=$1 COMP_POINT=${#1}
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
word=${COMP_WORDS[COMP_CWORD]}
# What ends a word is not replaced.
[[ $word == [:=] ]] && word=
_msgstream_or_command msgstream "$word" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s|' "${COMPREPLY[@]}"
"#;

fn complete(broker: &str, folder: &PathBuf, line: &str, words: &[&str]) -> String {
    let output = shell("bash", broker, folder).args(["--norc", "-c", BASH, "bash", line]).args(words).output().unwrap();
    assert_eq!((text(&output.stderr), output.status.code()), ("", Some(0)), "{line}");
    text(&output.stdout).to_owned()
}

#[test]
fn bash_completes_the_names_of_streams() {
    let mut broker = Broker::start();
    for stream in ["fit-1", "fit-2", "other", "a b", "x:y", "x:z"] {
        broker.ok(&["header", stream, "1"]);
    }
    let (folder, address) = (script("bash", "bash"), broker.address.clone());
    let complete = |server: &str, line: &str, words: &[&str]| complete(server, &folder, line, words);
    for (line, words, names) in [
        ("msgstream listen fi", &["msgstream", "listen", "fi"][..], "fit-1|fit-2|"),
        ("msgstream listen fit-1 o", &["msgstream", "listen", "fit-1", "o"], "other|"),
        ("msgstream wait fit-", &["msgstream", "wait", "fit-"], "fit-1|fit-2|"),
        ("msgstream get ", &["msgstream", "get", ""], r"a\ b|fit-1|fit-2|other|x:y|x:z|"),
        ("msgstream listen --prefix f", &["msgstream", "listen", "--prefix", "f"], "fit-1|fit-2|"),
        ("msgstream listen --count 3 o", &["msgstream", "listen", "--count", "3", "o"], "other|"),
        // A colon is a word of its own to bash, and what stands before it is not to be repeated.
        ("msgstream put x:", &["msgstream", "put", "x", ":"], "y|z|"),
        ("msgstream listen --pl", &["msgstream", "listen", "--pl"], "--plain|"),
    ] {
        assert_eq!(complete(&address, line, words), names, "{line}");
    }
    for command in ["get", "put", "close", "delete", "header", "streams", "top"] {
        assert_eq!(complete(&address, &format!("msgstream {command} oth"), &["msgstream", command, "oth"]), "other|", "{command}");
    }
    // What follows the stream is none.
    assert!(!complete(&address, "msgstream put fit-1 o", &["msgstream", "put", "fit-1", "o"]).contains("other"));
    let (host, port) = address.rsplit_once(':').unwrap();
    let words = ["msgstream", "get", "--server", host, ":", port, "o"];
    assert!(
        !complete("127.0.0.1:1", &format!("msgstream get --server {address} o"), &words).contains("other"),
        "not behind the first place"
    );
    let words = ["msgstream", "wait", "--server", host, ":", port, "o"];
    assert_eq!(complete("127.0.0.1:1", &format!("msgstream wait --server {address} o"), &words), "other|");
    // Without a broker there is none, and nothing is said.
    broker.stop();
    assert_eq!(complete(&address, "msgstream listen fit-", &["msgstream", "listen", "fit-"]), "|");
    fs::remove_dir_all(folder).unwrap();
}

// Seen to fail: "k=" became "k=k=1", "u@" became "uu@h", and nothing was offered behind a backslash.
#[test]
fn bash_completes_names_in_which_characters_mean_something_to_it() {
    let broker = Broker::start();
    for stream in ["k=1", "k=2", "p:q=1", "u@h", "v>1", "v>2", "a b c", "a b:c", "d$(touch x)", "`touch y`", "line\nbreak"] {
        broker.ok(&["header", stream, "1"]);
    }
    let folder = script("bash", "bash-quoting");
    for (line, words, names) in [
        ("msgstream wait k=", &["msgstream", "wait", "k", "="][..], "1|2|"),
        ("msgstream wait k=1", &["msgstream", "wait", "k", "=", "1"], "1|"),
        ("msgstream listen p:q=", &["msgstream", "listen", "p", ":", "q", "="], "1|"),
        ("msgstream get u@", &["msgstream", "get", "u", "@"], "@h|"),
        (r"msgstream get v\>", &["msgstream", "get", r"v\>"], r"v\>1|v\>2|"),
        (r"msgstream wait x a\ b", &["msgstream", "wait", "x", r"a\ b"], r"a\ b\ c|a\ b:c|"),
        (r"msgstream wait a\ b:", &["msgstream", "wait", r"a\ b", ":"], "c|"),
        (r"msgstream put a\ b\ c o", &["msgstream", "put", r"a\ b\ c", "o"], "|"),
        (r"msgstream get d\$", &["msgstream", "get", r"d\$"], r"d\$\(touch\ x\)|"),
        (r"msgstream get \`", &["msgstream", "get", r"\`"], r"\`touch\ y\`|"),
        // One with a control character is not offered.
        ("msgstream get li", &["msgstream", "get", "li"], "|"),
    ] {
        assert_eq!(complete(&broker.address, &folder, line, words), names, "{line}");
    }
    assert!(!folder.join("x").exists() && !folder.join("y").exists(), "what is a name was run");
    fs::remove_dir_all(folder).unwrap();
}

/// Where there is a fish.
#[test]
fn fish_completes_the_names_of_streams() {
    let broker = Broker::start();
    for stream in ["fit-1", "fit-2", "other"] {
        broker.ok(&["header", stream, "1"]);
    }
    let folder = script("fish", "fish");
    for (line, names) in [("msgstream listen fi", "fit-1\nfit-2\n"), ("msgstream get o", "other\n")] {
        let asked = shell("fish", &broker.address, &folder).args(["-c", &format!("source script; complete -C '{line}'")]).output();
        let Ok(output) = asked else { break };
        assert_eq!(text(&output.stdout), names, "{line}: {}", text(&output.stderr));
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn zsh_asks_for_the_names_of_streams() {
    let output = program(&["completions", "zsh"]).output().unwrap();
    let script = text(&output.stdout);
    assert!(script.starts_with("#compdef msgstream\n\n_msgstream_streams() {\n"), "{script}");
    // `listen` and `wait`; `put`, `header`, `close`, `delete`, `get` and `run`; `listen --prefix`.
    for (place, count) in [("*::streams -- The streams:_msgstream_streams", 2), (":stream -- The stream:_msgstream_streams", 6)] {
        assert_eq!(script.matches(place).count(), count, "{place} in {script}");
    }
    // `listen --prefix`, `streams` and `top`.
    assert!(script.contains("]:PREFIX:_msgstream_streams") && script.contains("all\\]:_msgstream_streams"), "{script}");
}

#[test]
fn a_shell_is_offered_no_more_than_anybody_reads() {
    let broker = Broker::start();
    let input: String = (0..300).map(|number| format!("{{\"action\":\"header\",\"stream\":\"s{number}\",\"message\":1}}\n")).collect();
    broker.send(&input);
    let names = broker.ok(&["stream-names", "s"]);
    assert_eq!(names.lines().count(), 200);
    assert_eq!(broker.ok(&["stream-names", "s29"]).lines().count(), 11);
    assert_eq!(broker.ok(&["stream-names", "nothing"]), "");
}
