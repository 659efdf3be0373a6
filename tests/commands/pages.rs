//! Help, completions, manual pages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::{program, text};

const COMMANDS: [&str; 26] = [
    "serve",
    "token",
    "token new",
    "token list",
    "token revoke",
    "store",
    "store check",
    "store dump",
    "store compact",
    "listen",
    "put",
    "header",
    "close",
    "delete",
    "get",
    "wait",
    "streams",
    "nodes",
    "top",
    "health",
    "run",
    "config",
    "config check",
    "config show",
    "completions",
    "man",
];

#[test]
fn every_subcommand_has_help_that_fits_a_terminal_of_100_columns() {
    for command in COMMANDS {
        for flag in ["-h", "--help"] {
            let arguments: Vec<_> = command.split(' ').chain([flag]).collect();
            let output = program(&arguments).output().unwrap();
            assert_eq!(output.status.code(), Some(0));
            let longest = text(&output.stdout).lines().max_by_key(|line| line.chars().count()).unwrap_or_default();
            assert!(longest.chars().count() <= 100, "{command} {flag}: {longest}");
            if command.contains(' ') {
                assert!(text(&output.stdout).contains("\nExit codes:\n   0  "), "{command} {flag} does not say how it ends");
            }
        }
    }
    let help = program(&["wait", "--help"]).output().unwrap();
    for code in ["   0  ", "   1  ", "   2  ", "  69  ", " 124  "] {
        assert!(text(&help.stdout).contains(code), "{code} is not in the help of wait");
    }
    let help = program(&["put", "--help"]).output().unwrap();
    assert!(text(&help.stdout).contains("  74  standard input cannot be read"), "a code that put ends with is not in its help");
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = program(&["completions", shell]).output().unwrap();
        let script = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0));
        assert!(COMMANDS.iter().flat_map(|command| command.split(' ')).all(|word| script.contains(word)), "{shell}: {script}");
    }
}

/// The manual pages, by the names of their files, as `man` writes them.
fn manual_pages(name: &str) -> BTreeMap<String, String> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("man-{name}-{}", std::process::id()));
    let output = program(&["man", directory.to_str().unwrap()]).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    let entries = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap());
    let page = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap());
    let pages = entries.map(page).collect();
    fs::remove_dir_all(directory).unwrap();
    pages
}

#[test]
fn a_manual_page_for_every_subcommand() {
    let pages = manual_pages("every");
    let names: BTreeSet<_> = COMMANDS.iter().map(|command| format!("msgstream-{}.1", command.replace(' ', "-"))).collect();
    let bench = cfg!(feature = "bench").then(|| "msgstream-bench.1".to_owned());
    let all: BTreeSet<_> = names.iter().cloned().chain(["msgstream.1".to_owned()]).chain(bench).collect();
    assert_eq!(pages.keys().cloned().collect::<BTreeSet<_>>(), all, "hidden commands have no page, nor has help");
    for name in &names {
        let page = &pages[name];
        assert!(page.contains(".SH NAME") && page.contains(".SH OPTIONS"), "{name}: {page}");
        assert!(!page.contains(".SH EXTRA"), "{name}: {page}");
    }
    assert!(pages["msgstream-wait.1"].contains("124"), "the exit codes are in the page");
    let page = &pages["msgstream-put.1"];
    for part in [
        "\n[\\fB\\-\\-header\\fR\\ \\fIJSON\\fR]\n",
        "\n\\fISTREAM\\fR\n[\\fIMESSAGE\\fR]\n",
        ".SH EXAMPLES\n.PP\n.nf\nmsgstream put job\\-1",
    ] {
        assert!(page.contains(part), "{part:?} is not in {page}");
    }
    assert!(page.contains(".SH EXIT STATUS\n.TP\n\\fB0\\fR\nall was sent and has taken effect\n"), "{page}");
    assert!(pages["msgstream-token-new.1"].contains(".SH SYNOPSIS\n\\fBmsgstream token new\\fR\n"), "{}", pages["msgstream-token-new.1"]);
}

#[test]
fn a_manual_page_refers_only_to_pages_that_there_are() {
    let pages = manual_pages("refers");
    let mut found = BTreeSet::new();
    for (name, page) in &pages {
        let page = page.replace("\\-", "-");
        for (end, _) in page.match_indices("(1)") {
            let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
            let referred = page[..end].rsplit(|letter| !is_of_name(letter)).next().unwrap();
            assert!(pages.contains_key(&format!("{referred}.1")), "{name} refers to {referred}(1), which is not written");
            found.insert(referred.to_owned());
        }
    }
    assert!(found.contains("msgstream-token-new") && found.contains("msgstream-config") && found.contains("msgstream"), "{found:?}");
}

/// Each names what it takes from around it: the clients' variables and files, or the file of the tokens.
#[test]
fn a_manual_page_names_variables_and_files() {
    let pages = manual_pages("names");
    const OF_CLIENTS: [&str; 7] = [
        "MSGSTREAM_SERVER",
        "MSGSTREAM_TOKEN",
        "MSGSTREAM_TOKEN_FILE",
        "MSGSTREAM_CA",
        "MSGSTREAM_CERTIFICATE",
        "MSGSTREAM_KEY",
        "XDG_CONFIG_HOME",
    ];
    for command in ["listen", "put", "header", "close", "delete", "get", "wait", "streams", "nodes", "top", "health", "run"] {
        let page = &pages[&format!("msgstream-{command}.1")];
        let (_, environment) = page.split_once(".SH ENVIRONMENT\n").unwrap();
        let (variables, files) = environment.split_once(".SH FILES\n").unwrap();
        for variable in OF_CLIENTS {
            assert!(variables.contains(&format!("\\fB{variable}\\fR")), "{variable} is not in {page}");
        }
        for file in ["/etc/msgstream/client.toml", "~/.config/msgstream/client.toml", "token_file"] {
            assert!(files.contains(file), "{file} is not in {page}");
        }
    }
    for command in ["token-new", "token-list", "token-revoke"] {
        let page = &pages[&format!("msgstream-{command}.1")];
        assert!(page.contains("\\fBMSGSTREAM_AUTH__TOKENS\\fR") && page.contains("/etc/msgstream/tokens.toml"), "{page}");
        assert!(!page.contains("client.toml"), "{page}");
    }
    for command in ["serve", "token", "completions", "man"] {
        assert!(!pages[&format!("msgstream-{command}.1")].contains(".SH FILES"), "{command}");
    }
}
