//! The sections of a manual page on what a command finds around it: variables and files.

use std::fmt::Write;

use clap::Command;

use super::roff::escaped;
use crate::cli::broker;
use crate::cli::token::place;

/// Variables and files of a command.
pub(super) fn of(command: &Command) -> String {
    let variables = variables(command);
    let talks_to_broker = command.get_arguments().any(|arg| arg.get_env().is_some_and(|name| name == broker::VARIABLE));
    let edits_tokens = command.get_arguments().any(|arg| arg.get_env().is_some_and(|name| name == place::VARIABLE));
    let mut text = String::new();
    if !variables.is_empty() || talks_to_broker {
        text += &format!(".SH ENVIRONMENT\n{variables}");
    }
    if talks_to_broker {
        text += &list(&OTHER_VARIABLES);
        text += &format!(".SH FILES\n{}", list(&FILES_OF_CLIENTS));
    } else if edits_tokens {
        text += &format!(".SH FILES\n{}", list(&FILES_OF_TOKENS));
    }
    text
}

/// The variables that stand for options.
fn variables(command: &Command) -> String {
    let with_variable = command.get_arguments().filter_map(|arg| Some((arg.get_env()?.to_str()?, arg)));
    with_variable.fold(String::new(), |mut text, (variable, arg)| {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let help = help.split(" [default").next().unwrap_or_default();
        let option = arg.get_long().unwrap_or_default();
        // A string can always be written to.
        let _ = writeln!(
            text,
            ".TP\n\\fB{variable}\\fR\n{}. The option \\fB\\-\\-{}\\fR overrides it. Empty counts as unset.",
            escaped(help),
            escaped(option)
        );
        text
    })
}

/// Names, and what is said of each.
fn list(entries: &[(&str, &str)]) -> String {
    entries.iter().map(|(name, said)| format!(".TP\n{name}\n{}\n", escaped(said))).collect()
}

/// Variables of clients for which there is no option.
const OTHER_VARIABLES: [(&str, &str); 4] = [
    (
        "\\fBMSGSTREAM_TOKEN\\fR",
        "The token to show the broker. The option --token-file overrides it. There is no option for the token itself: every user of the machine can see a program's arguments. Empty counts as unset.",
    ),
    (
        "\\fBMSGSTREAM_TOKEN_FILE\\fR",
        "The file that holds the token, unless --token-file or MSGSTREAM_TOKEN gives one. Only its owner and group may be able to read it. Empty counts as unset.",
    ),
    (
        "\\fBSSL_CERT_FILE\\fR, \\fBSSL_CERT_DIR\\fR",
        "With tls://, where the authorities of the system are, unless --ca or MSGSTREAM_CA names others.",
    ),
    (
        "\\fBXDG_CONFIG_HOME\\fR",
        "The directory of the user's msgstream/client.toml. Unless it is an absolute path, ~/.config takes its place.",
    ),
];

const FILES_OF_CLIENTS: [(&str, &str); 3] = [
    (
        "\\fI$XDG_CONFIG_HOME/msgstream/client.toml\\fR, \\fI~/.config/msgstream/client.toml\\fR",
        "What is read unless --server or MSGSTREAM_SERVER names a broker. Each line is a setting: server = \"HOST:PORT\", where the broker is; token_file, which file holds the token for it; with tls://, ca, certificate and key, which PEM files count. Files are named by their absolute paths.",
    ),
    ("\\fI/etc/msgstream/client.toml\\fR", "The same, for all users of the system. The user's file overrides it."),
    (
        "the file of the token",
        "The token and nothing else. It is where --token-file, MSGSTREAM_TOKEN_FILE or token_file in client.toml says; there is no other place where it would be looked for. A file that every user of the machine can read is refused: chmod 600.",
    ),
];

const FILES_OF_TOKENS: [(&str, &str); 1] = [(
    "\\fI/etc/msgstream/tokens.toml\\fR",
    "Who is let in, unless --file or MSGSTREAM_AUTH__TOKENS names another file. The broker reads the file that its setting auth.tokens names. It holds no token, only the SHA-256 of each.",
)];
