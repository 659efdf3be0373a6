//! Holds each module to its layer: it may use only what stands above it in [`LAYERS`].
//!
//! Reads the source as text. What it looks for is `crate::NAME` and, in the program, `msgstream::NAME` and `crate::NAME`, in
//! imports, groups of imports and paths alike, and `super::` as far as it leads there. Comments and texts in quotes do not count.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap in a test is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the library, lowest first. Those on one line are one layer and may use each other.
const LAYERS: [&[&str]; 11] = [
    &["ids", "units", "limits"],
    &["content"],
    &["monitor"],
    &["protocol"],
    &["broker"],
    &["outbox"],
    &["actor"],
    &["connection"],
    &["server"],
    &["config"],
    &["cli"],
];

/// Modules beside the layers, which may use what is listed and nobody else may use.
const ASIDE: [(&str, &[&str]); 2] = [
    ("client", &["ids", "units", "limits", "content", "protocol"]),
    // A broker in a program is all of a broker but its configuration, and its listeners see what a client's see.
    ("local", &["ids", "units", "limits", "content", "protocol", "broker", "outbox", "actor", "connection", "server", "client"]),
];

/// The files of the program, which see the library from outside.
const PROGRAM: [&str; 2] = ["cli", "main"];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Whether `user` may use `used`; `None` if one of both has no place in the order.
fn may_use(user: &str, used: &str) -> Option<bool> {
    if user == used {
        return Some(true);
    }
    if let Some((_, allowed)) = ASIDE.iter().find(|(name, _)| *name == user) {
        return Some(allowed.contains(&used));
    }
    // The program may use clients; nothing in the library may.
    if ASIDE.iter().any(|(name, _)| *name == used) {
        return Some(PROGRAM.contains(&user));
    }
    if user == "main" {
        return layer(used).map(|_| true);
    }
    Some(layer(used)? <= layer(user)?)
}

/// Blanks comments and the inside of quotes, so that only code is left. Line breaks stay where they are.
fn code_only(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let end = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if let Some(text) = rest.strip_prefix("r#\"") {
            text.find("\"#").map_or(rest.len(), |at| at + 5)
        } else if first == '"' {
            end_of_text(rest)
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\") {
            // A quote as a character begins no text.
            rest[2..].find('\'').map_or(rest.len(), |at| at + 3)
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.extend(rest[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[end..];
    }
    code
}

fn end_of_text(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return at + 1,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// The first names below `root::`, of which a group such as `crate::{ids, protocol::Event}` has several, with their lines.
fn names_below(root: &str, code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let prefix = format!("{root}::");
    for (at, _) in code.match_indices(&prefix) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let below = code[at + prefix.len()..].trim_start_matches("super::");
        let Some(group) = below.trim_start().strip_prefix('{') else {
            found.push((line, first_name(below)));
            continue;
        };
        let mut depth = 0_usize;
        let mut start = 0;
        for (at, c) in group.char_indices() {
            let ends = matches!(c, ',' | '}') && depth == 0;
            if ends {
                found.push((line, first_name(&group[start..at])));
                start = at + 1;
            }
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    found.retain(|(_, name)| !name.is_empty());
    found
}

fn first_name(path: &str) -> String {
    path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// What a file does that its layer may not do. `file` is its path below `src`.
fn violations(file: &Path, source: &str) -> Vec<String> {
    let module = file.iter().next().map(|first| first.to_string_lossy().trim_end_matches(".rs").to_owned()).unwrap_or_default();
    if module == "lib" {
        return Vec::new();
    }
    let code = code_only(source);
    let mut used = names_below("crate", &code);
    if PROGRAM.contains(&module.as_str()) {
        used.extend(names_below("msgstream", &code));
    }
    // Enough of `super` leads to the root as well. A submodule that is named like a layer would be taken for it: do not do that.
    used.extend(names_below("super", &code).into_iter().filter(|(_, name)| may_use("main", name) == Some(true)));
    let found = used.into_iter().filter_map(|(line, used)| {
        let what = match may_use(&module, &used) {
            Some(true) => return None,
            Some(false) => format!("{module} may not use {used}"),
            None => format!("{module} or {used} has no place in the order of layers"),
        };
        Some(format!("src/{}:{line}: {what}", file.display()))
    });
    found.collect()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the source is there").map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn every_module_uses_only_what_stands_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = sources(&root);
    assert!(files.len() > 20, "the source was not found: {files:?}");
    let found: Vec<String> = files
        .iter()
        .flat_map(|path| violations(path.strip_prefix(&root).expect("below src"), &fs::read_to_string(path).expect("UTF-8")))
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_module_of_the_library_has_a_layer() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("UTF-8");
    let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod ").or(line.strip_prefix("mod "))?.strip_suffix(';'));
    for module in modules {
        assert!(layer(module).is_some() || ASIDE.iter().any(|(name, _)| *name == module), "{module} has no layer");
    }
}

// The checker itself, on planted text.

#[track_caller]
fn assert_violations(file: &str, source: &str, expected: &[&str]) {
    assert_eq!(violations(Path::new(file), source), expected, "{source}");
}

#[test]
fn an_import_from_a_higher_layer_is_found_in_every_form() {
    let upwards = ["src/broker/core.rs:2: broker may not use server"];
    assert_violations("broker/core.rs", "use crate::ids::StreamName;\nuse crate::server::Address;", &upwards);
    assert_violations("broker/core.rs", "\nlet a = crate::server::bind();", &upwards);
    assert_violations("broker/core.rs", "\npub use crate::{ids::{A, B}, server::{C, D}};", &upwards);
    assert_violations("broker/core.rs", "\nuse crate::{\n    ids,\n    server,\n};", &upwards);
    assert_violations("broker/core.rs", "\nlet a: Vec<crate::server::Address>;", &upwards);
    assert_violations("broker/core.rs", "\nuse super::super::server::Address;", &upwards);
    assert_violations("broker/mod.rs", "use super::server::Address;", &["src/broker/mod.rs:1: broker may not use server"]);
    assert_violations("limits.rs", "use crate::protocol::Action;", &["src/limits.rs:1: limits may not use protocol"]);
}

#[test]
fn what_stands_above_or_beside_is_free() {
    assert_violations("broker/core.rs", "use crate::{ids::StreamName, protocol::Frame, broker::input::Input};", &[]);
    assert_violations("limits.rs", "use crate::units::ByteSize;", &[]);
    assert_violations("cli/serve.rs", "use msgstream::broker::server::Server; use crate::cli::exit::Exit;", &[]);
    assert_violations("lib.rs", "pub use crate::server::Server;", &[]);
}

#[test]
fn clients_stand_aside() {
    let aside = ["src/client/mod.rs:1: client may not use broker"];
    assert_violations("client/mod.rs", "use crate::{protocol::Event, broker::Core};", &aside);
    assert_violations("server/mod.rs", "use crate::client::Client;", &["src/server/mod.rs:1: server may not use client"]);
    assert_violations("cli/listen.rs", "use msgstream::client::Client;", &[]);
}

#[test]
fn a_module_without_a_place_is_found() {
    let unknown = ["src/broker/core.rs:1: broker or helpers has no place in the order of layers"];
    assert_violations("broker/core.rs", "use crate::helpers::join;", &unknown);
}

#[test]
fn comments_and_texts_do_not_count() {
    assert_violations("ids.rs", "// use crate::server::A;\n/// [`crate::server`]\n/* crate::server::A */", &[]);
    assert_violations("ids.rs", r##"let a = "a \" crate::server::A"; let b = r#"" crate::server::A"#; let c = '"';"##, &[]);
    let after = ["src/ids.rs:1: ids may not use server"];
    assert_violations("ids.rs", r#"let a = '"'; let b = "\\"; let c = '\''; use crate::server::A;"#, &after);
}
