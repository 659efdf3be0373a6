use std::net::IpAddr;
use std::time::UNIX_EPOCH;

use super::*;

fn token(text: &str) -> Token {
    Token::new(text).unwrap()
}

fn identity(name: &str, listen: &[&str], expires: Option<u64>) -> Identity {
    Identity {
        name: name.into(),
        proof: Proof::Token(Digest::of(&token(name))),
        expires: expires.map(at),
        rights: Rights { listen: listen.iter().map(|prefix| Box::from(*prefix)).collect(), ..Rights::default() },
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

const HERE: Origin = Origin::User(7);

fn admit(access: &Access, name: &str, id: u32, now: u64) -> Result<Arc<Identity>, Refusal> {
    access.admit(&token(name), HERE, ConnectionId(id), (Instant::now(), at(now)))
}

/// Who is ended, and why.
fn ended(act: impl FnOnce(&mut dyn FnMut(ConnectionId, String))) -> Vec<(u32, String)> {
    let mut ended = Vec::new();
    act(&mut |id, reason| ended.push((id.0, reason)));
    ended.sort();
    ended
}

#[test]
fn a_token_is_let_in_until_it_expires() {
    let access = Access::of(vec![identity("a", &["x"], Some(100)), identity("b", &[], None)], 8);
    assert_eq!(admit(&access, "a", 1, 99).unwrap().rights.listen, [Box::from("x")]);
    assert_eq!(admit(&access, "a", 2, 100), Err(Refusal::Expired("a".into())));
    assert_eq!(admit(&access, "c", 3, 0), Err(Refusal::Unknown));
    admit(&access, "b", 4, 1000).unwrap();
    assert_eq!(ended(|end| access.expire(at(99), end)), []);
    assert_eq!(ended(|end| access.expire(at(100), end)), [(1, "\"a\" has expired".to_owned())]);
    assert_eq!(ended(|end| access.expire(at(100), end)), []);
}

#[test]
fn who_may_less_than_before_is_ended_and_nobody_else() {
    let names = ["same", "more", "less", "gone", "other", "old"];
    let access = Access::of(names.iter().map(|name| identity(name, &["x-"], None)).collect(), 8);
    for (id, name) in (0..).zip(names) {
        admit(&access, name, id, 0).unwrap();
    }
    admit(&access, "gone", 6, 0).unwrap();
    access.gone(ConnectionId(6));
    let other = Identity { proof: Proof::UnixUser(1), ..identity("other", &["x-"], None) };
    let now = vec![
        identity("same", &["x-"], Some(100)),
        identity("more", &["x", "y"], None),
        identity("less", &["x-1"], None),
        other,
        identity("old", &["x-"], Some(5)),
    ];
    let mut reloaded = None;
    let told = ended(|end| reloaded = Some(access.replace(now, at(10), end)));
    let reason = |name: &str, what: &str| format!("{}\"{name}\"{what}", if what.contains("taken") { "rights of " } else { "" });
    assert_eq!(
        told,
        [
            (2, reason("less", " were taken away; connect again")),
            (3, reason("gone", " was revoked")),
            (4, reason("other", " was revoked")),
            (5, reason("old", " has expired")),
        ]
    );
    assert_eq!(reloaded, Some(Reloaded { identities: 5, ended: 4 }));
    assert_eq!(admit(&access, "gone", 7, 10), Err(Refusal::Unknown));
    // One that was connected before expires when the new table says so.
    assert_eq!(ended(|end| access.expire(at(100), end)), [(0, "\"same\" has expired".to_owned())]);
}

#[test]
fn a_proof_without_a_token_is_recognised() {
    let user = Identity { proof: Proof::UnixUser(1000), ..identity("a", &[], Some(100)) };
    let named = Identity { proof: Proof::Certificate("node".into()), ..identity("b", &[], None) };
    let access = Access::of(vec![user, named], 8);
    let name = |proof: Proof, now| access.recognise(&proof, ConnectionId(0), at(now)).map(|identity| identity.name.clone());
    assert_eq!(name(Proof::UnixUser(1000), 0).as_deref(), Some("a"));
    assert_eq!(name(Proof::UnixUser(1000), 100), None);
    assert_eq!(name(Proof::UnixUser(1001), 0), None);
    assert_eq!(name(Proof::Certificate("node".into()), 0).as_deref(), Some("b"));
    assert_eq!(name(Proof::Certificate("Node".into()), 0), None);
}

#[test]
fn who_guesses_is_refused_without_a_look_and_so_is_who_comes_from_there() {
    let access = Access::of(vec![identity("a", &[], None)], 8);
    let (began, origin) = (Instant::now(), Origin::from(IpAddr::from([192, 0, 2, 1])));
    let admit =
        |name: &str, from, passed| access.admit(&token(name), from, ConnectionId(0), (began + Duration::from_millis(passed), at(0)));
    for guess in 0..11 {
        assert_eq!(admit(&format!("wrong-{guess}"), origin, 0), Err(Refusal::Unknown));
    }
    assert_eq!(admit("wrong", origin, 0), Err(Refusal::Paused(Duration::from_millis(250))));
    assert_eq!(admit("a", origin, 249), Err(Refusal::Paused(Duration::from_millis(1))));
    assert!(admit("a", HERE, 0).is_ok() && admit("a", origin, 250).is_ok());
}

/// A file that the test writes, removed with it.
struct Written(std::path::PathBuf);

impl Written {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("msgstream-access-{}-{name}", std::process::id())))
    }

    fn write(&self, names: &[&str]) {
        let text: String = names.iter().map(|name| format!("[{name}]\nsha256 = \"{}\"\n", Digest::of(&token(name)))).collect();
        let beside = self.0.with_extension("new");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(&beside, &self.0).unwrap();
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

// Seen to fail when any change was read at once: of a file that was being written, half was in force.
#[test]
fn a_file_is_read_again_once_nobody_writes_it_any_more() {
    let (file, now) = (Written::new("settled"), Instant::now());
    file.write(&["a"]);
    let access = Access::load(&file.0, 8).unwrap();
    assert!(!access.has_changed(now) && !access.has_changed(now));
    file.write(&["a", "b"]);
    assert!(!access.has_changed(now), "it may go on changing");
    file.write(&["a", "b", "c"]);
    assert!(!access.has_changed(now));
    assert!(access.has_changed(now));
    assert_eq!(access.reload((now, at(0)), |_, _| {}).unwrap().identities, 3);
    assert!(!access.has_changed(now));
}

// Seen to fail when only length and content were looked at: a file that was given to the broker's user later was never read.
#[test]
fn a_file_whose_rights_change_is_read_again() {
    use std::os::unix::fs::PermissionsExt;
    let (file, now) = (Written::new("rights"), Instant::now());
    file.write(&["a"]);
    let access = Access::load(&file.0, 8).unwrap();
    file.write(&["a", "b"]);
    access.reload_from(|_| Err("Permission denied".to_owned()), (now, at(0)), |_, _| {}).unwrap_err();
    assert!(!access.has_changed(now) && !access.has_changed(now), "it was tried");
    let later = now + Duration::from_secs(60);
    assert!(access.has_changed(later), "and is to be tried again");
    // The time of a change has the grain of the system's clock.
    let before = Stamp::of(&file.0);
    let is_other = |_| {
        std::fs::set_permissions(&file.0, std::fs::Permissions::from_mode(0o640)).unwrap();
        Stamp::of(&file.0) != before
    };
    assert!((0..100_000).any(is_other), "it stands otherwise");
    assert!(!access.has_changed(now) && access.has_changed(now));
}

// Seen to fail when such a file was in force: all were gone.
#[test]
fn a_file_that_may_be_half_written_ends_nobody() {
    let (file, now) = (Written::new("half"), (Instant::now(), at(0)));
    file.write(&["a", "b"]);
    let access = Access::load(&file.0, 8).unwrap();
    admit(&access, "a", 1, 0).unwrap();
    let whole = std::fs::read_to_string(&file.0).unwrap();
    let only_b = whole.split_at(whole.find("[b]").unwrap()).1;
    for half in ["", "# ours", "# ours\n", only_b.trim_end()] {
        std::fs::write(&file.0, half).unwrap();
        assert_eq!(ended(|end| _ = access.reload(now, end).unwrap_err()), [], "{half:?}");
    }
    std::fs::write(&file.0, only_b).unwrap();
    assert_eq!(ended(|end| _ = access.reload(now, end).unwrap()), [(1, "\"a\" was revoked".to_owned())]);
}

// Seen to fail when the file was read outside of the lock: what was read first came last, and a revoked token was let in for good.
#[test]
fn of_two_that_read_the_file_at_once_the_later_one_counts() {
    let file = Written::new("twice");
    file.write(&["old"]);
    let access = Access::load(&file.0, 8).unwrap();
    let now = (Instant::now(), at(0));
    let ((reads, is_reading), (go_on, waits)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    let first = std::thread::spawn({
        let access = Arc::clone(&access);
        move || {
            let slow = |file: &Path| {
                let text = file::read(file);
                reads.send(()).unwrap();
                waits.recv().unwrap();
                text
            };
            access.reload_from(slow, now, |_, _| {}).unwrap().identities
        }
    });
    is_reading.recv().unwrap();
    file.write(&["new", "newer"]);
    let second = std::thread::spawn({
        let access = Arc::clone(&access);
        move || access.reload(now, |_, _| {}).unwrap().identities
    });
    // A moment for the second to overtake the first, if it can.
    for _ in 0..10_000 {
        std::thread::yield_now();
    }
    go_on.send(()).unwrap();
    assert_eq!((first.join().unwrap(), second.join().unwrap()), (1, 2));
    assert!(admit(&access, "new", 1, 0).is_ok());
    assert_eq!(admit(&access, "old", 2, 0), Err(Refusal::Unknown));
}

// Seen to fail when it was looked at how the file is after it was read: what was read was taken for what is there now.
#[test]
fn a_change_while_the_file_is_read_is_found() {
    let (file, now) = (Written::new("meanwhile"), (Instant::now(), at(0)));
    file.write(&["old"]);
    let access = Access::load(&file.0, 8).unwrap();
    let slow = |path: &Path| {
        let text = file::read(path);
        file.write(&["new", "newer"]);
        text
    };
    assert_eq!(access.reload_from(slow, now, |_, _| {}).unwrap().identities, 1);
    assert!(!access.has_changed(now.0) && access.has_changed(now.0));
}
