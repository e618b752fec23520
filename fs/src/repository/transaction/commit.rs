//! What is proposed to the replicator, and what is done when that is refused.

use super::Transactions;
use super::read_version::Author;
use crate::error::{FsError, FsResult};
use crate::repository::objects::{Batch, Stored};
use gitmoor_model::{
    Actor, BlockDigest, Borrowing, Command, FileAdd, Place, Refusal, RepoChange, Version,
};
use gitmoor_replicator::read;

/// Files whose addition or removal one raft entry carries at most.
pub(super) const FILES_PER_ENTRY: usize = 5_000;

/// About how many bytes of files one raft entry carries at most: what the catalog itself holds, and digests of blocks.
const BYTES_PER_ENTRY: usize = 2 << 20;

/// How often a publication stores again because gc came in between, which is rare
/// even once.
const STORINGS: usize = 5;

impl Transactions {
    /// Proposes a change of refs, with what a batch stored for it. [`super::PendingDeletions::ref_change`] is held.
    pub(super) fn move_refs(
        &self,
        change: RepoChange,
        batch: Option<&Batch>,
        by: &Author,
    ) -> FsResult<Version> {
        let unpruned = self.undelete(&change, by)?;
        let version = self.propose(command(change, batch, unpruned), &by.actor)?;
        // Moving refs between the loose and the packed layer is no such move.
        let repo = read::repo(self.shared.replica.view(), self.repo)?;
        if repo.is_some_and(|repo| repo.refs_version >= version) {
            self.prune.moved(version, by.read);
        }
        Ok(version)
    }

    /// Stores again when gc has put a tombstone, between storing and cataloguing, on what
    /// was found in the store (see the replicator's `state/tombstones.rs`).
    pub(super) fn retry_storing<T>(&self, mut attempt: impl FnMut() -> FsResult<T>) -> FsResult<T> {
        for _ in 0..STORINGS {
            match attempt() {
                Err(FsError::Refused(Refusal::HasTombstone { key })) => {
                    self.objects.forget_stored(&key);
                }
                Err(FsError::Refused(Refusal::NotLent { path, .. })) => {
                    self.objects.loans().refused(&path);
                }
                // Pruned: through another mount, between the look and the commit.
                Err(FsError::Refused(Refusal::TombstonesExpired | Refusal::Pruned)) => {}
                other => return other,
            }
        }
        attempt()
    }

    /// A change that adds what a batch stored.
    pub(super) fn propose_stored(
        &self,
        change: RepoChange,
        batch: &Batch,
        actor: &Actor,
    ) -> FsResult<Version> {
        self.propose(command(change, Some(batch), None), actor)
    }

    pub(super) fn propose(&self, command: Command, actor: &Actor) -> FsResult<Version> {
        self.shared.propose(actor.clone(), command)
    }

    /// Very many files go in several entries; the last goes with the refs.
    pub(super) fn catalogue_ahead(&self, batch: &mut Batch, actor: &Actor) -> FsResult<()> {
        while let Some((files, borrowed)) = ahead(batch) {
            let ahead = batch.split_off(files, borrowed);
            self.catalogue(ahead, actor)?;
        }
        Ok(())
    }

    /// Stored files get into the catalog, and no ref moves.
    pub(super) fn catalogue(&self, batch: Batch, actor: &Actor) -> FsResult<()> {
        let change = RepoChange {
            add: batch.adds(),
            ..RepoChange::new(self.repo)
        };
        if !change.is_empty() || !batch.borrowed.is_empty() {
            self.propose_stored(change, &batch, actor)?;
        }
        self.objects.adopt(batch);
        Ok(())
    }
}

/// What commits a change, with what a batch has for it. `unpruned` is for a change that relies on objects.
fn command(change: RepoChange, batch: Option<&Batch>, unpruned: Option<Version>) -> Command {
    let tombstones_as_of = batch.map(|batch| batch.looked);
    let loans = batch.map_or(Vec::new(), Batch::loans);
    match (unpruned, tombstones_as_of) {
        _ if !loans.is_empty() => Command::Borrow(Box::new(Borrowing {
            change,
            tombstones_as_of,
            unpruned,
            loans,
        })),
        (Some(unpruned), tombstones_as_of) => Command::MoveRefs {
            change,
            tombstones_as_of,
            unpruned,
        },
        (None, Some(tombstones_as_of)) => Command::Publish {
            change,
            tombstones_as_of,
        },
        (None, None) => Command::Commit(change),
    }
}

/// How many stored and borrowed files go ahead of the others; `None` when all of them fit into one entry.
fn ahead(batch: &Batch) -> Option<(usize, usize)> {
    match fitting(&batch.files) {
        Some(fitting) => Some((fitting, 0)),
        None => (batch.borrowed.len() > FILES_PER_ENTRY).then_some((0, FILES_PER_ENTRY)),
    }
}

/// How many of these files go ahead of the others; `None` when all of them fit into one entry.
fn fitting(files: &[Stored]) -> Option<usize> {
    let mut bytes = 0;
    let fits = |stored: &&Stored| {
        bytes += weight(&stored.add);
        bytes <= BYTES_PER_ENTRY
    };
    let fitting = files.iter().take(FILES_PER_ENTRY).take_while(fits).count();
    (fitting < files.len()).then_some(fitting.max(1))
}

fn weight(add: &FileAdd) -> usize {
    let own = match &add.entry.place {
        Place::Inline(bytes) => bytes.len(),
        Place::Stored { key } => key.len(),
    };
    own + add.path.as_bytes().len() + add.blocks.len() * size_of::<BlockDigest>() + 100
}
