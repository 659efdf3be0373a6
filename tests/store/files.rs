//! Files that cannot be used, and what is said of them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use msgstream::internal::broker::core::{Change, StreamChange};
use msgstream::internal::broker::store::{Look, Store, compact};
use redb::{Database, TableDefinition};

use crate::content::{refused, running, stream_name};

/// A folder of a test's own.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("store-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

const META: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("meta");

/// Puts a row into a file, past everything that checks.
fn plant(path: &Path, table: &str, key: &[u8], row: &[u8]) {
    let database = Database::open(path).unwrap();
    let work = database.begin_write().unwrap();
    work.open_table(TableDefinition::<&[u8], &[u8]>::new(table)).unwrap().insert(key, row).unwrap();
    work.commit().unwrap();
}

#[test]
fn a_new_file_is_small_and_its_owners_alone() {
    let folder = folder("new");
    let path = folder.join("store");
    let store = Store::open(&path).unwrap();
    let about = fs::metadata(&path).unwrap();
    assert_eq!(about.mode() & 0o777, 0o600);
    assert!(about.len() < 200 << 10 && about.len() == store.meter().size(), "{} bytes", about.len());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn two_brokers_cannot_share_a_store() {
    let path = folder("held").join("store");
    let store = Store::open(&path).unwrap();
    assert!(refused(Store::open(&path)).contains("another process uses the store"));
    assert!(refused(Look::open(&path)).contains("two brokers cannot share one"));
    assert!(refused(compact(&path)).contains("another process uses the store"));
    drop(store);
    // Whoever only looks keeps a broker away, too, but nobody else who looks.
    let looks = [Look::open(&path).unwrap(), Look::open(&path).unwrap()];
    assert!(refused(Store::open(&path)).contains("another process uses the store"));
    drop(looks);
    Store::open(&path).unwrap();
}

#[test]
fn what_is_wrong_is_told_with_its_cure() {
    let folder = folder("wrong");
    let path = |name: &str| folder.join(name);
    assert!(refused(Store::open(&path("none/store"))).contains("make it with mkdir"));
    assert!(refused(Look::open(&path("none"))).contains("no broker has run with it yet"));
    // There is no room for the longer name under which a new file is made.
    let long = refused(Store::open(&path(&"n".repeat(254))));
    assert!(long.contains("nnn ") && !long.contains(".new"), "{long}");
    fs::write(path("text"), "something else".repeat(1000)).unwrap();
    fs::write(path("empty"), "").unwrap();
    for name in ["text", "."] {
        assert!(refused(Store::open(&path(name))).contains("is no store of msgstream"), "{name}");
        assert!(refused(Look::open(&path(name))).contains("is no store of msgstream"), "{name}");
    }
    assert!(refused(Look::open(&path("empty"))).contains("is no store of msgstream"));
    assert_eq!(fs::read_to_string(path("text")).unwrap(), "something else".repeat(1000), "it is left as it is");
    assert_eq!(fs::read_to_string(path("empty")).unwrap(), "");
    // Somebody else's database.
    let other = Database::create(path("other")).unwrap();
    let work = other.begin_write().unwrap();
    work.open_table(TableDefinition::<u64, u64>::new("theirs")).unwrap();
    work.commit().unwrap();
    drop(other);
    assert!(refused(Store::open(&path("other"))).contains("is no store of msgstream"));
    drop(Store::open(&path("newer")).unwrap());
    plant(&path("newer"), "meta", b"format", &2_u64.to_le_bytes());
    assert!(refused(Store::open(&path("newer"))).contains("was written by a newer msgstream; upgrade, or move the file away"));
    drop(Store::open(&path("mine")).unwrap());
    fs::set_permissions(path("mine"), fs::Permissions::from_mode(0o400)).unwrap();
    // The superuser may do everything.
    if fs::OpenOptions::new().write(true).open(path("mine")).is_err() {
        assert!(refused(Store::open(&path("mine"))).contains("must be able to read and write"));
    }
    let work = Database::create(path("unset")).unwrap();
    let begun = work.begin_write().unwrap();
    begun.open_table(META).unwrap();
    begun.commit().unwrap();
    drop(work);
    assert!(refused(Store::open(&path("unset"))).contains("is no store of msgstream"));
}

/// Of the file of [`Store`], with checksums that are right.
#[test]
fn a_row_that_cannot_be_read_is_named() {
    let folder = folder("rows");
    for (table, key, row, part) in [
        ("streams", &b"fit-1"[..], &b"\xff"[..], "table streams, stream \"fit-1\": its flags mean nothing"),
        ("streams", b"fit-2", b"", "table positions, stream \"fit-2\": it is missing"),
        ("streams", b"$", b"", "table streams, stream \"$\": its name is none of a stream"),
        ("positions", b"fit-1", b"short", "table positions, stream \"fit-1\": it ends too soon"),
        ("positions", b"fit-0", b"", "table positions, stream \"fit-0\": there is no such stream"),
        ("positions", b"fit-2", b"", "table positions, stream \"fit-2\": there is no such stream"),
        ("windows", b"fit-1", b"x", "table windows, stream \"fit-1\": it ends too soon"),
        ("windows", b"fit-2", b"", "table windows, stream \"fit-2\": there is no such stream"),
        ("wills", b"fit-1", b"", "table wills, stream \"fit-1\": it ends too soon"),
        ("sessions", b"short", b"", "table sessions: its name is none of a session"),
        ("sessions", b"a secret of its client", b"", "table sessions: it ends too soon"),
    ] {
        let path = folder.join("store");
        let _ = fs::remove_file(&path);
        let mut store = Store::open(&path).unwrap();
        let name = stream_name("fit-1");
        let mut work = store.begin().unwrap();
        work.changes(std::slice::from_ref(&Change { stream: StreamChange::Stands(running(&name, 10)), name, will: None })).unwrap();
        work.commit().unwrap();
        drop(store);
        plant(&path, table, key, row);
        let said = refused(Store::open(&path).and_then(|mut store| store.load(&mut |_| {})));
        assert!(said.contains(part) && said.contains("msgstream store check"), "{part:?} is not in: {said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

#[test]
fn looking_changes_nothing_even_behind_a_crash() {
    let folder = folder("looking");
    let (path, copy) = (folder.join("store"), folder.join("copy"));
    let mut store = Store::open(&path).unwrap();
    for number in 0..100 {
        let name = stream_name(&format!("fit-{number}"));
        let mut work = store.begin().unwrap();
        work.changes(std::slice::from_ref(&Change { stream: StreamChange::Stands(running(&name, 1000)), name, will: None })).unwrap();
        work.commit().unwrap();
    }
    // As a killed broker leaves it.
    fs::copy(&path, &copy).unwrap();
    let before = fs::read(&copy).unwrap();
    assert_eq!(Look::open(&copy).unwrap().census().unwrap().running, 100);
    assert!(fs::read(&copy).unwrap() == before, "the file has changed");
    let (large, small) = compact(&copy).unwrap();
    assert!(large == before.len() as u64 && small < large && small == fs::metadata(&copy).unwrap().len(), "{large} to {small}");
    assert_eq!(Look::open(&copy).unwrap().census().unwrap().running, 100);
}

#[test]
fn compact_makes_no_store() {
    let folder = folder("none");
    assert!(refused(compact(&folder.join("none"))).contains("there is no store"));
    assert!(!folder.join("none").exists());
}
