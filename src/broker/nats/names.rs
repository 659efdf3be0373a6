//! What the streams of a space in JetStream, and the subjects in them, are called.

use super::error::NatsError;

/// The longest name of a space, in bytes: a name in JetStream may have 255.
const LONGEST: usize = 100;

/// Ends the name of the stream of snapshots, so that of no space.
const STATE: &str = "-state";

/// The names of a space.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// The stream of records.
    pub(super) log: String,
    /// The one subject in it.
    pub(super) records: String,
    /// The stream of snapshots.
    pub(super) state: String,
    /// What its subjects begin with, with the dot behind.
    prefix: String,
}

impl Names {
    pub(super) fn of(space: &str) -> Result<Self, NatsError> {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if space.is_empty() || space.len() > LONGEST || !space.bytes().all(is_known) || space.ends_with(STATE) {
            return Err(NatsError::space(space));
        }
        Ok(Self {
            log: format!("msgstream-{space}"),
            records: format!("msgstream.{space}.log"),
            state: format!("msgstream-{space}{STATE}"),
            prefix: format!("msgstream.{space}.state."),
        })
    }

    /// All subjects in the stream of snapshots.
    pub(super) fn all_state(&self) -> String {
        format!("{}>", self.prefix)
    }

    /// Where it stands which snapshot counts.
    pub(super) fn head(&self) -> String {
        format!("{}head", self.prefix)
    }

    /// Where a piece of a snapshot stands.
    pub(super) fn piece(&self, id: &str, number: usize) -> String {
        format!("{}piece.{id}.{number}", self.prefix)
    }

    /// The subjects of all pieces of a snapshot; of all snapshots without one.
    pub(super) fn pieces(&self, id: Option<&str>) -> String {
        id.map_or_else(|| format!("{}piece.>", self.prefix), |id| format!("{}piece.{id}.>", self.prefix))
    }

    /// Of which snapshot the piece is that stands at this subject.
    pub(super) fn id_of<'s>(&self, subject: &'s str) -> Option<&'s str> {
        subject.strip_prefix(&self.prefix)?.strip_prefix("piece.")?.split('.').next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_has_a_name_that_jetstream_takes() {
        for space in ["a", "lab_2-north", &"x".repeat(LONGEST)] {
            assert_eq!(Names::of(space).unwrap().log, format!("msgstream-{space}"));
        }
        for space in ["", "a b", "a.b", "a*", "ä", "lab-state", &"x".repeat(LONGEST + 1)] {
            let error = Names::of(space).unwrap_err().to_string();
            assert!(error.contains("nodes.space"), "{error}");
        }
    }

    #[test]
    fn a_piece_is_found_by_the_snapshot_that_it_is_of() {
        let names = Names::of("lab").unwrap();
        assert_eq!(names.id_of(&names.piece("7f", 12)), Some("7f"));
        assert_eq!((names.id_of(&names.head()), names.id_of("other.lab.state.piece.1.2")), (None, None));
    }
}
