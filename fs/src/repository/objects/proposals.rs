//! What the publisher proposes to the replicator, and what it does when that is refused.

use super::Objects;
use super::deletion::Removal;
use super::looks::Look;
use super::publish::{Batch, Stored};
use crate::error::{FsError, FsResult};
use gitmoor_model::name;
use gitmoor_model::{
    Actor, BlockDigest, Command, FileAdd, FileRemoval, Place, Refusal, RepoChange, RepoPath,
    Version,
};
use std::collections::HashMap;

/// Files whose addition or removal one raft entry carries at most.
pub(super) const FILES_PER_COMMIT: usize = 5_000;

/// About how many bytes of files one raft entry carries at most: what the catalog itself holds, and digests of blocks.
const BYTES_PER_COMMIT: usize = 2 << 20;

/// How often a publication stores again because gc came in between, which is rare
/// even once.
const STORINGS: usize = 5;

/// What a deletion is judged against.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Bases {
    /// Refs have not moved since.
    refs: Version,
    /// Nothing was repacked since.
    repacked: Version,
}

impl Objects {
    /// Proposes a change of refs, with what a batch stored for it. `removing` is held.
    pub(super) fn move_refs(
        &self,
        change: RepoChange,
        batch: Option<&Batch>,
        actor: &Actor,
    ) -> FsResult<Version> {
        let by = actor.pid.map(|pid| self.look_of(pid));
        let looked = batch.map(|batch| batch.looked);
        let command = match (self.revive(&change, actor, by)?, looked) {
            (Some(unpruned), looked) => Command::MoveRefs {
                change,
                looked,
                unpruned,
            },
            (None, Some(looked)) => Command::Publish { change, looked },
            (None, None) => Command::Commit(change),
        };
        let version = self.propose_command(command, actor)?;
        self.note_move(version, by)?;
        Ok(version)
    }

    /// Stores again when gc has condemned, between storing and cataloguing, what
    /// was found in the store (see the replicator's `state/condemned.rs`).
    pub(super) fn until_settled<T>(&self, mut attempt: impl FnMut() -> FsResult<T>) -> FsResult<T> {
        for _ in 0..STORINGS {
            match attempt() {
                Err(FsError::Refused(Refusal::Condemned { key })) => self.forget_stored(&key),
                // Pruned: through another mount, between the look and the commit.
                Err(FsError::Refused(Refusal::Forgotten | Refusal::Pruned)) => {}
                other => return other,
            }
        }
        attempt()
    }

    fn forget_stored(&self, condemned: &str) {
        let usable = |place: &Place| !matches!(place, Place::Stored { key } if key == condemned);
        let mut state = self.state.lock();
        state
            .stored
            .retain(|_, stored| usable(&stored.add.entry.place));
    }

    /// What was stored is good for as long as no condemned key was forgotten
    /// since. To be called before anything is put.
    pub(super) fn look(&self) -> FsResult<Version> {
        let forgotten = self.shared.replica.forgotten(self.repo)?;
        let mut state = self.state.lock();
        if state.looked != forgotten {
            state.looked = forgotten;
            state.stored.clear();
        }
        Ok(forgotten)
    }

    /// Remembers who moved refs; moving them between the loose and the packed
    /// layer is no such move.
    fn note_move(&self, version: Version, by: Option<Look>) -> FsResult<()> {
        let repo = self.shared.replica.repo(self.repo)?;
        if repo.is_some_and(|repo| repo.refs_version >= version) {
            self.state.lock().moved(version, by);
        }
        Ok(())
    }

    fn propose(&self, change: RepoChange, actor: &Actor) -> FsResult<Version> {
        self.propose_command(Command::Commit(change), actor)
    }

    /// A change that adds what a batch stored.
    pub(super) fn propose_stored(
        &self,
        change: RepoChange,
        batch: &Batch,
        actor: &Actor,
    ) -> FsResult<Version> {
        let looked = batch.looked;
        self.propose_command(Command::Publish { change, looked }, actor)
    }

    pub(super) fn propose_command(&self, command: Command, actor: &Actor) -> FsResult<Version> {
        self.shared.propose(actor.clone(), command)
    }

    /// Very many files go in several entries; the last goes with the refs.
    pub(super) fn catalogue_ahead(&self, batch: &mut Batch, actor: &Actor) -> FsResult<()> {
        while let Some(fitting) = fitting(&batch.files) {
            let files = batch.files.drain(..fitting).collect();
            let ahead = Batch {
                files,
                bundled: Vec::new(),
                looked: batch.looked,
            };
            let change = RepoChange {
                add: ahead.adds(),
                ..RepoChange::new(self.repo)
            };
            self.propose_stored(change, &ahead, actor)?;
            self.published(ahead);
        }
        Ok(())
    }

    /// Deletions hold only while no ref moved since the deleting process first
    /// looked (INV-6); those that came too late become visible again.
    pub(super) fn publish_removals(
        &self,
        removed: &HashMap<RepoPath, Removal>,
        actor: &Actor,
    ) -> FsResult<()> {
        let _no_ref_moves = self.removing.write();
        let mut groups: HashMap<Option<Bases>, Vec<(RepoPath, u64)>> = HashMap::new();
        {
            let state = self.state.lock();
            // Some may be there anew.
            let still = |(path, removal): &(_, _)| state.removed.get(*path) == Some(*removal);
            for (path, removal) in removed.iter().filter(still) {
                // What is not objects can be had again from them: nothing is lost.
                let base = name::holds_objects(path).then(|| Bases {
                    refs: state.base(*removal),
                    repacked: removal.seen,
                });
                let removal = (path.clone(), removal.order());
                groups.entry(base).or_default().push(removal);
            }
        }
        for (bases, removals) in groups {
            for removals in removals.chunks(FILES_PER_COMMIT) {
                let paths: Vec<_> = removals.iter().map(|(path, _)| path.clone()).collect();
                let last = removals.iter().map(|(_, order)| *order).max();
                let removal = FileRemoval {
                    paths: paths.clone(),
                    unless_refs_moved_since: bases.map(|bases| bases.refs),
                    unless_repacked_since: bases.map(|bases| bases.repacked),
                };
                let remove = Some(removal);
                match self.propose(
                    RepoChange {
                        remove,
                        ..RepoChange::new(self.repo)
                    },
                    actor,
                ) {
                    Ok(version) => {
                        let last = last.expect("chunks are not empty");
                        self.state.lock().published_removals(version, last);
                        self.forget_removed(&paths, false);
                    }
                    Err(FsError::Refused(
                        refusal @ (Refusal::RefsMoved { .. } | Refusal::Repacked { .. }),
                    )) => {
                        tracing::warn!(repo = %self.repo, files = paths.len(), "{refusal}: deletions are undone, run the pruning repack again");
                        self.forget_removed(&paths, true);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn forget_removed(&self, paths: &[RepoPath], reappear: bool) {
        for path in paths {
            self.state.lock().removed.remove(path);
            if reappear {
                (self.shared.changed)(self.repo, path);
            }
        }
    }
}

/// How many of these files go ahead of the others; `None` when all of them fit into one entry.
fn fitting(files: &[Stored]) -> Option<usize> {
    let mut bytes = 0;
    let fits = |stored: &&Stored| {
        bytes += weight(&stored.add);
        bytes <= BYTES_PER_COMMIT
    };
    let fitting = files.iter().take(FILES_PER_COMMIT).take_while(fits).count();
    (fitting < files.len()).then_some(fitting.max(1))
}

fn weight(add: &FileAdd) -> usize {
    let own = match &add.entry.place {
        Place::Inline(bytes) => bytes.len(),
        Place::Stored { key } => key.len(),
    };
    own + add.path.as_bytes().len() + add.blocks.len() * size_of::<BlockDigest>() + 100
}
