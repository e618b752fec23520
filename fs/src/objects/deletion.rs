//! Deletions of object files: who may decide on one, and against which refs. They are
//! published a little later, and only while they still hold (see [`super::revive`]).

use super::{Found, Objects, State, revive};
use crate::error::{FsError, FsResult};
use gitmoor_replicator::model::{Refusal, RepoPath, Version};

/// A deletion, and who may have decided on it when.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Removal {
    /// The repository's refs version when the deleting process first touched it.
    pub(super) seen: Version,
    /// That process.
    pub(super) pid: u32,
}

/// A ref change, and whose.
#[derive(Clone, Copy)]
pub(super) struct Move {
    pub(super) version: Version,
    pub(super) pid: Option<u32>,
}

/// Ref changes that are remembered. A deletion that began before the oldest of
/// them is judged by the version it has seen alone.
const MOVES: usize = 4096;

impl State {
    /// The refs version against which a deletion is judged: a process's own ref
    /// changes (rm -rf of a repository makes many) do not invalidate its walk.
    pub(super) fn base(&self, removal: Removal) -> Version {
        let remembered = self
            .moves
            .front()
            .is_none_or(|first| first.version <= removal.seen);
        let mut later = self
            .moves
            .iter()
            .filter(|moved| moved.version > removal.seen);
        let own = later.all(|moved| moved.pid == Some(removal.pid));
        match self.moves.back() {
            Some(last) if own && (remembered || self.moves.len() < MOVES) => {
                last.version.max(removal.seen)
            }
            Some(_) | None => removal.seen,
        }
    }

    pub(super) fn moved(&mut self, version: Version, pid: Option<u32>) {
        if self.moves.len() == MOVES {
            self.moves.pop_front();
        }
        let at = self.moves.partition_point(|known| known.version < version);
        self.moves.insert(at, Move { version, pid });
    }
}

impl Objects {
    /// unlink(2), by a process that has seen the refs at this version.
    pub fn unlink(&self, path: &RepoPath, seen: Version, pid: u32) -> FsResult<()> {
        let real = self.files.stat(path)?.is_some();
        if real && revive::holds_objects(path) && self.is_finished(path) {
            return self.unlink_finished(path, seen, pid);
        }
        let catalogued = matches!(self.find(path)?, Some(Found::Entry(_)));
        if !real && !catalogued {
            return Err(FsError::NotFound);
        }
        let _no_ref_moves = self.removing.write();
        let mut state = self.state.lock();
        if revive::holds_objects(path) {
            self.check_unmoved(&state, Removal { seen, pid })?;
        }
        // A publication under way may be about to catalogue it.
        if catalogued || self.turn.is_locked() {
            state.removed.insert(path.clone(), Removal { seen, pid });
            state.touched.remove(path);
        }
        state.pending.remove(path);
        state.stored.remove(path);
        state.note();
        if real {
            self.files.unlink(path)
        } else {
            Ok(())
        }
    }

    /// A deletion that comes too late already must not even hide the object until it is
    /// published and undone.
    fn check_unmoved(&self, state: &State, removal: Removal) -> FsResult<()> {
        let repo = self.shared.replica.repo(self.repo)?;
        match repo.map(|repo| repo.refs_version) {
            Some(actual) if actual > state.base(removal) => {
                Err(Refusal::RefsMoved { actual }.into())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Objects go to the trash like all others, also those that are not stored yet.
    fn unlink_finished(&self, path: &RepoPath, seen: Version, pid: u32) -> FsResult<()> {
        match self.publish_one(path) {
            // Damaged: there is nothing to keep.
            Err(FsError::WrongBytes { .. }) => {
                self.unfinish(path);
                return self.files.unlink_if_there(path);
            }
            published => published?,
        }
        let _no_ref_moves = self.removing.write();
        let mut state = self.state.lock();
        self.check_unmoved(&state, Removal { seen, pid })?;
        state.removed.insert(path.clone(), Removal { seen, pid });
        state.touched.remove(path);
        state.note();
        drop(state);
        // One that was packed on the way has no file any more, and no entry: then
        // publishing the removal does nothing.
        self.files.unlink_if_there(path)
    }
}
