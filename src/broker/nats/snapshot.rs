//! Snapshots, as they stand in JetStream: pieces, and a head that says which snapshot counts.
//!
//! The head is written when all pieces are there, and only over one that is as it was read: so it never goes back. The name of a snapshot
//! begins with its cut, so that whoever has written a head knows which pieces can never count any more, also those of others.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::broker::space::Snapshot;

use super::api::{Api, Fault};
use super::names::Names;

/// Which snapshot counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Names the log that it is of.
    pub(super) log: u64,
    pub(super) cut: u64,
    pub(super) id: String,
    pub(super) pieces: usize,
    pub(super) bytes: usize,
    pub(super) sha256: String,
}

impl Head {
    /// A new name, and all that there is to know of a snapshot, which is given back.
    pub(super) async fn of(snapshot: Snapshot, log: u64) -> Result<(Self, Snapshot), Fault> {
        let Snapshot { cut, pieces } = snapshot;
        let (sha256, pieces) = digested(pieces).await?;
        let id = format!("{cut:016x}{:016x}", fastrand::u64(..));
        let head = Self { log, cut, id, pieces: pieces.len(), bytes: pieces.iter().map(Vec::len).sum(), sha256 };
        Ok((head, Snapshot { cut, pieces }))
    }

    /// The one that stands there, and its sequence.
    pub(super) async fn read(api: &Api, names: &Names) -> Result<Option<(Self, u64)>, Fault> {
        let Some(kept) = api.last(&names.state, &names.head()).await? else { return Ok(None) };
        let odd = |error| Fault::Silent(format!("the head of the snapshots in {} is not understood: {error}", names.state));
        Ok(Some((serde_json::from_slice(&kept.content).map_err(odd)?, kept.sequence)))
    }

    /// Whether pieces of this name can never count any more, once this head stands there.
    pub(super) fn outlives(&self, id: &str) -> bool {
        let cut = id.get(..16).and_then(|cut| u64::from_str_radix(cut, 16).ok());
        id != self.id && cut.is_none_or(|cut| cut <= self.cut)
    }

    /// The snapshot. None if it is not whole: as long as another head is there by now, that is no wonder.
    pub(super) async fn snapshot(&self, api: &Api, names: &Names) -> Result<Option<Snapshot>, Fault> {
        let mut pieces = Vec::new();
        for number in 0..self.pieces {
            let Some(piece) = api.last(&names.state, &names.piece(&self.id, number)).await? else { return Ok(None) };
            pieces.push(piece.content);
        }
        let (sha256, pieces) = digested(pieces).await?;
        let is_whole = pieces.iter().map(Vec::len).sum::<usize>() == self.bytes && sha256 == self.sha256;
        Ok(is_whole.then_some(Snapshot { cut: self.cut, pieces }))
    }
}

/// The digest of all pieces, which are given back. It takes a second for a gigabyte, so the others do not wait for it.
async fn digested(pieces: Vec<Vec<u8>>) -> Result<(String, Vec<Vec<u8>>), Fault> {
    let digested = tokio::task::spawn_blocking(move || (digest(&pieces), pieces)).await;
    digested.map_err(|error| Fault::Silent(error.to_string()))
}

/// Of all pieces, and of where each ends.
fn digest(pieces: &[Vec<u8>]) -> String {
    let mut digest = Sha256::new();
    for piece in pieces {
        digest.update((piece.len() as u64).to_le_bytes());
        digest.update(piece);
    }
    digest.finalize().iter().fold(String::new(), |mut text, byte| {
        // To a string, which takes all.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(cut: u64) -> Snapshot {
        Snapshot { cut, pieces: vec![b"ab".to_vec(), b"c".to_vec()] }
    }

    #[tokio::test]
    async fn a_digest_tells_where_pieces_end() {
        let moved = vec![b"a".to_vec(), b"bc".to_vec()];
        let (head, whole) = Head::of(snapshot(1), 1).await.unwrap();
        assert_eq!((&head.sha256, &whole.pieces), (&digest(&whole.pieces), &snapshot(1).pieces));
        assert_ne!(digest(&whole.pieces), digest(&moved));
    }

    #[tokio::test]
    async fn only_what_can_never_count_is_outlived() {
        let (head, _) = Head::of(snapshot(300), 1).await.unwrap();
        for (cut, outlived) in [(20, true), (300, true), (301, false), (4096, false)] {
            assert_eq!(head.outlives(&Head::of(snapshot(cut), 1).await.unwrap().0.id), outlived, "{cut}");
        }
        assert!(!head.outlives(&head.id) && head.outlives("odd"));
    }
}
