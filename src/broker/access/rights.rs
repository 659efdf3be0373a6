//! What somebody may do.
//!
//! Names are compared as they are after all escapes, byte by byte: nothing is folded, so that no spelling of a name leads to another one.

use crate::wire::ids::is_reserved;

/// The streams of the directory begin so.
const DIRECTORY: &str = "$streams/";

/// The rights of one identity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// How the names begin of the streams that it may write to.
    pub publish: Vec<Box<str>>,
    /// How the names begin of the streams that it may listen to.
    pub listen: Vec<Box<str>>,
    /// Whether it may know what others do: the whole directory, and all else that begins with `$`.
    pub admin: bool,
}

impl Rights {
    /// Whether it may write to the stream, close it, or leave a will for it. Names that begin with `$` are nobody's to write to.
    pub fn may_publish(&self, stream: &str) -> bool {
        !is_reserved(stream.as_bytes()) && is_within(stream, &self.publish)
    }

    /// Whether it may listen to the stream.
    pub fn may_listen(&self, stream: &str) -> bool {
        if !is_reserved(stream.as_bytes()) {
            return is_within(stream, &self.listen);
        }
        // How a stream stands may be known to those who may listen to it.
        let about = stream.strip_prefix(DIRECTORY).filter(|about| !about.is_empty() && !is_reserved(about.as_bytes()));
        self.admin || about.is_some_and(|about| is_within(about, &self.listen))
    }

    /// Whether it may listen to every stream whose name begins so.
    pub fn may_listen_to_all(&self, prefix: &str) -> bool {
        // What begins so begins with what may be listened to. Where the prefix is empty, that is every stream that is not reserved.
        self.may_listen(prefix)
    }

    /// Whether it may do all that the other one may.
    pub fn cover(&self, other: &Self) -> bool {
        let all_within = |theirs: &[Box<str>], ours: &[Box<str>]| theirs.iter().all(|prefix| is_within(prefix, ours));
        all_within(&other.publish, &self.publish) && all_within(&other.listen, &self.listen) && (self.admin || !other.admin)
    }
}

fn is_within(name: &str, prefixes: &[Box<str>]) -> bool {
    prefixes.iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::Rights;

    fn rights(publish: &[&str], listen: &[&str], admin: bool) -> Rights {
        let boxed = |prefixes: &[&str]| prefixes.iter().map(|prefix| Box::from(*prefix)).collect();
        Rights { publish: boxed(publish), listen: boxed(listen), admin }
    }

    #[test]
    fn a_right_is_for_what_begins_so_and_for_nothing_else() {
        let rights = rights(&["fit-", "job"], &["fit-"], false);
        for (stream, publish, listen) in [
            ("fit-", true, true),
            ("fit-1", true, true),
            ("job", true, false),
            ("jobs", true, false),
            ("fit", false, false),
            ("Fit-1", false, false),
            ("xfit-1", false, false),
            // Looks alike, and is another name: a full-width letter, a hyphen of another kind, an accent in two characters.
            ("\u{ff46}it-1", false, false),
            ("fit\u{2010}1", false, false),
            ("fi\u{0301}t-1", false, false),
            ("\u{200b}fit-1", false, false),
            ("fit-/../other", true, true),
        ] {
            assert_eq!((rights.may_publish(stream), rights.may_listen(stream)), (publish, listen), "{stream:?}");
        }
    }

    #[test]
    fn nobody_may_write_to_what_is_reserved_and_only_an_admin_may_hear_all_of_it() {
        let all = rights(&[""], &[""], false);
        let admin = rights(&[], &[], true);
        for (stream, by_all, by_admin) in [
            ("$streams/job", true, true),
            ("$streams/", false, true),
            ("$streams/$streams/job", false, true),
            ("$streams", false, true),
            ("$", false, true),
            ("$other/job", false, true),
            ("job", true, false),
            ("", true, false),
        ] {
            assert_eq!((all.may_listen(stream), admin.may_listen(stream)), (by_all, by_admin), "{stream:?}");
            assert_eq!((all.may_listen_to_all(stream), admin.may_listen_to_all(stream)), (by_all, by_admin), "{stream:?}");
        }
        assert!(all.may_publish("job") && !all.may_publish("$job") && !admin.may_publish("job"));
        let some = rights(&[], &["fit-"], false);
        assert!(some.may_listen("$streams/fit-1") && some.may_listen_to_all("$streams/fit-"));
        assert!(!some.may_listen("$streams/job") && !some.may_listen_to_all("$streams/fit") && !some.may_listen_to_all("fit"));
    }

    #[test]
    fn rights_cover_narrower_ones() {
        let wide = rights(&["fit-"], &["", "x"], true);
        assert!(wide.cover(&rights(&["fit-1", "fit-"], &["any"], false)) && wide.cover(&wide));
        for more in [rights(&["fit"], &[], false), rights(&["", "fit-"], &[], false)] {
            assert!(!wide.cover(&more));
        }
        assert!(!rights(&[], &["a"], false).cover(&rights(&[], &[""], false)));
        assert!(!rights(&[], &[""], false).cover(&rights(&[], &[], true)));
    }
}
