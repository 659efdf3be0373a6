//! Help, completions, manual pages.

use std::fs;
use std::path::Path;

use crate::{program, text};

const COMMANDS: [&str; 15] = [
    "serve",
    "token",
    "listen",
    "put",
    "header",
    "close",
    "delete",
    "get",
    "wait",
    "streams",
    "health",
    "run",
    "config",
    "completions",
    "man",
];

#[test]
fn every_subcommand_has_help_that_fits_a_terminal_of_100_columns() {
    for command in COMMANDS {
        for flag in ["-h", "--help"] {
            let output = program(&[command, flag]).output().unwrap();
            assert_eq!(output.status.code(), Some(0));
            let longest = text(&output.stdout).lines().max_by_key(|line| line.chars().count()).unwrap_or_default();
            assert!(longest.chars().count() <= 100, "{command} {flag}: {longest}");
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
        assert!(COMMANDS.iter().all(|command| script.contains(command)), "{shell}: {script}");
    }
}

#[test]
fn a_manual_page_for_every_subcommand() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("man-{}", std::process::id()));
    let output = program(&["man", directory.to_str().unwrap()]).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    for command in COMMANDS {
        let page = fs::read_to_string(directory.join(format!("msgstream-{command}.1"))).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(".SH OPTIONS"), "{command}: {page}");
        assert!(!page.contains(".SH EXTRA"), "{command}: {page}");
        assert_eq!(page.contains(".SH FILES"), page.contains("MSGSTREAM_SERVER"), "{command}: {page}");
        assert_eq!(page.contains(".SH ENVIRONMENT"), page.contains("MSGSTREAM_SERVER"), "{command}: {page}");
    }
    assert!(!directory.join("msgstream-stream-names.1").exists(), "a hidden command has no page");
    assert!(fs::read_to_string(directory.join("msgstream.1")).unwrap().contains("msgstream\\-listen(1)"));
    assert!(fs::read_to_string(directory.join("msgstream-wait.1")).unwrap().contains("124"), "the exit codes are in the page");
    let page = fs::read_to_string(directory.join("msgstream-wait.1")).unwrap();
    assert!(page.contains("MSGSTREAM_SERVER"), "the variable is in the page: {page}");
    let page = fs::read_to_string(directory.join("msgstream-put.1")).unwrap();
    for part in [
        "\n[\\fB\\-\\-header\\fR\\ \\fIJSON\\fR]\n",
        "\n\\fISTREAM\\fR\n[\\fIMESSAGE\\fR]\n",
        ".SH EXAMPLES\n.PP\n.nf\nmsgstream put job\\-1",
    ] {
        assert!(page.contains(part), "{part:?} is not in {page}");
    }
    assert!(page.contains(".SH EXIT STATUS\n.TP\n\\fB0\\fR\nall was sent and has taken effect\n"), "{page}");
    fs::remove_dir_all(directory).unwrap();
}
