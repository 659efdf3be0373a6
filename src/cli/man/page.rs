//! One manual page, made of a command's help.
//!
//! `clap_mangen` writes what clap knows. What stands behind the options in the help (examples, exit codes, signals) is plain text
//! in columns, which gets the sections that man(7) has for it.

use std::fmt::Write;
use std::io;

use clap::{Arg, Command};
use clap_mangen::Man;

use super::roff::escaped;
use super::surroundings;

/// The page's name, which is that of its file too.
pub(super) fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or(command.get_name()).to_owned()
}

/// The page's source.
pub(super) fn of(command: &Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone());
    let name = name(command);
    let version = command.get_version().unwrap_or(env!("CARGO_PKG_VERSION"));
    let title = format!(".TH {} 1 \"\" \"msgstream {version}\" \"msgstream\"\n", name.to_uppercase());
    let mut page = Vec::from(format!(".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n{title}.nh\n.ad l\n"));
    man.render_name_section(&mut page)?;
    page.extend_from_slice(synopsis(command).as_bytes());
    man.render_description_section(&mut page)?;
    if command.get_subcommands().next().is_some() {
        man.render_subcommands_section(&mut page)?;
    }
    man.render_options_section(&mut page)?;
    let after = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string).unwrap_or_default();
    page.extend_from_slice(after_options(&after).as_bytes());
    page.extend_from_slice(surroundings::of(command).as_bytes());
    page.extend_from_slice(format!(".SH SEE ALSO\n{}\n", others(command, &name)).as_bytes());
    Ok(page)
}

/// The pages of the commands that it is below, or those to begin with.
fn others(command: &Command, name: &str) -> String {
    let above = called(command).match_indices(' ').map(|(end, _)| &name[..end]);
    let above: Vec<_> = above.map(|above| format!("{}(1)", escaped(above))).collect();
    if above.is_empty() { "msgstream\\-serve(1), msgstream\\-listen(1), msgstream\\-put(1)".to_owned() } else { above.join(", ") }
}

/// The words by which it is called, such as `msgstream token new`; the page's name has hyphens in place of the blanks.
fn called(command: &Command) -> &str {
    command.get_bin_name().unwrap_or(command.get_name())
}

/// How the command is called, each option with its value.
fn synopsis(command: &Command) -> String {
    let mut text = format!(".SH SYNOPSIS\n\\fB{}\\fR", escaped(called(command)));
    let shown = |arg: &&Arg| !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str());
    for option in command.get_opts().filter(shown).chain(command.get_arguments().filter(|arg| is_flag(arg)).filter(shown)) {
        let flag = option.get_long().map(|long| format!("\\-\\-{}", escaped(long))).unwrap_or_default();
        // What belongs together is not broken at the end of a line.
        let value = if is_flag(option) { String::new() } else { format!("\\ \\fI{}\\fR", escaped(&value_name(option))) };
        let again = if matches!(option.get_action(), clap::ArgAction::Append) { "..." } else { "" };
        let _ = write!(text, "\n[\\fB{flag}\\fR{value}]{again}");
    }
    for argument in command.get_positionals().filter(shown) {
        let value = format!("\\fI{}\\fR", escaped(&value_name(argument)));
        let many = if argument.get_num_args().is_some_and(|range| range.max_values() > 1) { "..." } else { "" };
        let value = if argument.is_last_set() { format!("\\fB\\-\\-\\fR\\ {value}{many}") } else { format!("{value}{many}") };
        let _ = if argument.is_required_set() { write!(text, "\n{value}") } else { write!(text, "\n[{value}]") };
    }
    if command.get_subcommands().next().is_some() {
        text.push_str("\n\\fICOMMAND\\fR");
    }
    text + "\n"
}

fn is_flag(arg: &Arg) -> bool {
    !arg.is_positional() && !arg.get_action().takes_values()
}

fn value_name(arg: &Arg) -> String {
    arg.get_value_names().and_then(|names| names.first()).map_or_else(|| arg.get_id().to_string().to_uppercase(), ToString::to_string)
}

/// The text behind the options: a section for each heading that man(7) knows.
fn after_options(text: &str) -> String {
    let mut page = String::new();
    let mut is_list = false;
    for line in text.lines() {
        match line.strip_prefix(' ').map(str::trim_start) {
            None if line.is_empty() => {}
            None => {
                let heading = match line {
                    "Examples:" => Some("EXAMPLES"),
                    "Exit codes:" => Some("EXIT STATUS"),
                    "Signals:" => Some("SIGNALS"),
                    _ => None,
                };
                is_list = heading.is_some_and(|heading| heading != "EXAMPLES");
                let _ = match heading {
                    Some(heading) => writeln!(page, ".SH {heading}"),
                    None => writeln!(page, ".PP\n{}", escaped(line)),
                };
            }
            Some(entry) => page.push_str(&if is_list { item(entry) } else { example(entry) }),
        }
    }
    page
}

/// An entry of a list, such as an exit code and what it means.
fn item(entry: &str) -> String {
    match columns(entry) {
        (what, Some(meaning)) => format!(".TP\n\\fB{}\\fR\n{}\n", escaped(what), escaped(meaning)),
        (text, None) => format!(".PP\n{}\n", escaped(text)),
    }
}

/// A command, and what it does.
fn example(entry: &str) -> String {
    let (command, comment) = columns(entry);
    let comment = comment.map(|comment| format!(".RS 4\n{}\n.RE\n", escaped(comment))).unwrap_or_default();
    format!(".PP\n.nf\n{}\n.fi\n{comment}", escaped(command))
}

/// What stands before and behind the gap between two columns.
fn columns(entry: &str) -> (&str, Option<&str>) {
    match entry.split_once("  ") {
        Some((first, rest)) => (first, Some(rest.trim_start())),
        None => (entry, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_a_help_become_sections() {
        let help =
            "Examples:\n  run 'x'\n  run y    twice\n\nExit codes:\n  that of y\n   0  all is well\n 126  not run\n\nNo heading:\n  .z";
        let page = ".SH EXAMPLES\n.PP\n.nf\nrun \\(aqx\\(aq\n.fi\n.PP\n.nf\nrun y\n.fi\n.RS 4\ntwice\n.RE\n\
            .SH EXIT STATUS\n.PP\nthat of y\n.TP\n\\fB0\\fR\nall is well\n.TP\n\\fB126\\fR\nnot run\n.PP\nNo heading:\n.PP\n.nf\n\\&.z\n.fi\n";
        assert_eq!(after_options(help), page);
    }
}
