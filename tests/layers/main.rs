//! Holds the source to its order: a room may use only those that stand before it in its folder's list, and no files of a folder
//! use each other in a circle.
//!
//! Reads the source as text: every path that a file names is followed to the file that it leads to, through whatever passes it
//! on. What only tests use does not count.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap in a test is a failed test")]

mod source;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tree::{Module, Tree, Use};

/// The order of some folders, lowest first.
const ORDERS: [(&str, &[&str]); 3] = [
    // `internal`, the door for tests, and `main` see all and are seen by nobody.
    ("", &["job", "wire", "tls", "broker", "client", "local", "bench", "cli", "internal", "main"]),
    (
        "wire",
        &[
            "settable",
            "units",
            "ids",
            "position",
            "secret",
            "session",
            "action",
            "error",
            "event",
            "codec",
            "endpoint",
            "frame",
            "members",
            "names",
            "reason",
            "refusal",
            "request",
            "listen",
            "subscriber",
            "json_lines",
            "message_pack",
        ],
    ),
    (
        "broker",
        &[
            "settings",
            "access",
            "core",
            "outbox",
            "rows",
            "space",
            "actor",
            "store",
            "nats",
            "connection",
            "metrics",
            "http",
            "assemble",
            "server",
        ],
    ),
];

/// What a room must not use, though it stands before it. The load generator holds a broker to the wire, in words of its own.
const APART: [(&str, &str); 5] = [("client", "broker"), ("bench", "job"), ("bench", "broker"), ("bench", "client"), ("bench", "local")];

fn order(folder: &str) -> Option<&'static [&'static str]> {
    ORDERS.iter().find(|(name, _)| *name == folder).map(|(_, order)| *order)
}

/// Where a use stands in the house: the folder that both share, and who uses whom in it. The folder's own file is `mod`.
fn in_folder(one: &Use) -> (String, String, String) {
    let shared = one.from.iter().zip(&one.to).take_while(|(from, to)| from == to).count();
    let name = |module: &Module| module.get(shared).map_or("mod", String::as_str).to_owned();
    (one.from[..shared].join("::"), name(&one.from), name(&one.to))
}

/// What is used against the order.
fn violations(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for one in tree.uses() {
        let (folder, from, to) = in_folder(&one);
        let Some(order) = order(&folder).filter(|_| from != "mod" && to != "mod") else { continue };
        let place = |name: &str| order.iter().position(|other| *other == name);
        let what = match (place(&from), place(&to)) {
            (Some(user), Some(used)) if used < user && !APART.contains(&(&from, &to)) => continue,
            (Some(_), Some(_)) => format!("{from} may not use {to}"),
            (None, _) => format!("{from} has no place in the order of {folder:?}"),
            (_, None) => format!("{to} has no place in the order of {folder:?}"),
        };
        found.push(format!("{}: {what}", one.place));
    }
    found
}

/// The files of each folder that use each other in a circle, or stand between two circles.
fn circles(tree: &Tree) -> BTreeMap<String, Vec<String>> {
    let mut folders: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for one in tree.uses() {
        let (folder, from, to) = in_folder(&one);
        folders.entry(folder).or_default().insert((from, to));
    }
    for uses in folders.values_mut() {
        // A file that uses none, or that none uses, is in no circle.
        loop {
            let users: BTreeSet<_> = uses.iter().map(|(from, _)| from.clone()).collect();
            let used: BTreeSet<_> = uses.iter().map(|(_, to)| to.clone()).collect();
            let before = uses.len();
            uses.retain(|(from, to)| used.contains(from) && users.contains(to));
            if uses.len() == before {
                break;
            }
        }
    }
    folders.retain(|_, uses| !uses.is_empty());
    let names = |uses: BTreeSet<(String, String)>| uses.into_iter().map(|(from, _)| from).collect::<BTreeSet<_>>().into_iter().collect();
    folders.into_iter().map(|(folder, uses)| (folder, names(uses))).collect()
}

fn source() -> Tree {
    let tree = Tree::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(tree.modules().count() > 100, "the source was not found");
    tree
}

#[test]
fn every_room_uses_only_those_before_it() {
    let found = violations(&source());
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn no_files_of_a_folder_use_each_other_in_a_circle() {
    assert_eq!(circles(&source()), BTreeMap::new());
}

#[test]
fn every_room_has_a_place() {
    let tree = source();
    for (folder, order) in ORDERS {
        let parent: Module = folder.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let below = tree.modules().filter(|module| module.len() == parent.len() + 1 && module.starts_with(&parent));
        let there: BTreeSet<_> = below.filter_map(|module| module.last()).map(String::as_str).collect();
        assert_eq!(there, order.iter().copied().collect(), "what is in {folder:?}, and its order");
    }
}

// The rules themselves, on planted files.

fn planted(files: &[(&str, &str)]) -> Tree {
    let rooms = ["wire/mod.rs", "wire/ids.rs", "wire/frame.rs", "broker/mod.rs", "broker/core/mod.rs", "client/mod.rs"];
    let mut all: BTreeMap<_, _> = rooms.into_iter().map(|file| (file.to_owned(), String::new())).collect();
    all.insert("wire/mod.rs".to_owned(), "mod frame;\npub mod ids;\npub use frame::Frame;".to_owned());
    all.extend(files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())));
    Tree::of(all.into_iter().collect())
}

#[track_caller]
fn assert_violations(file: &str, source: &str, expected: &[&str]) {
    assert_eq!(violations(&planted(&[(file, source)])), expected, "{source}");
}

#[test]
fn what_is_used_against_the_order_is_found_however_it_is_named() {
    let upwards = ["src/broker/core/mod.rs:2: broker may not use client"];
    assert_violations("broker/core/mod.rs", "use crate::wire::ids::A;\nuse crate::client::B;", &upwards);
    assert_violations("broker/core/mod.rs", "\nlet a = super::super::client::b();", &upwards);
    assert_violations("broker/core/mod.rs", "\npub use crate::client::B;", &upwards);
    assert_violations("wire/ids.rs", "use super::frame::Frame;", &["src/wire/ids.rs:1: ids may not use frame"]);
    // By way of the room that passes it on.
    assert_violations("wire/ids.rs", "use crate::wire::Frame;", &["src/wire/ids.rs:1: ids may not use frame"]);
    assert_violations("client/mod.rs", "use crate::broker::core::Core;", &["src/client/mod.rs:1: client may not use broker"]);
    assert_violations("wire/frame.rs", "use super::ids::A; use crate::wire::ids::B;", &[]);
    assert_violations("helpers.rs", "use crate::wire::Frame;", &["src/helpers.rs:1: helpers has no place in the order of \"\""]);
}

#[test]
fn a_circle_is_found() {
    let circle = |files: &[(&str, &str)]| {
        circles(&planted(files)).into_iter().next().map(|(folder, files)| format!("{folder}: {}", files.join(" ")))
    };
    assert_eq!(circle(&[]), None);
    let two = [
        ("wire/ids.rs", "use super::frame::Frame;"),
        ("wire/frame.rs", "use super::ids::A;"),
        ("client/mod.rs", "use crate::wire::Frame;"),
    ];
    assert_eq!(circle(&two).as_deref(), Some("wire: frame ids"));
    // A file that uses what stands in its folder's own file, which uses it.
    let own = [("broker/mod.rs", "mod core;\npub const A: u8 = core::B;"), ("broker/core/mod.rs", "use super::A;")];
    assert_eq!(circle(&own).as_deref(), Some("broker: core mod"));
    assert_eq!(circle(&[own[1], ("broker/mod.rs", "mod core;\npub use core::B;\npub const A: u8 = 1;")]), None);
}
