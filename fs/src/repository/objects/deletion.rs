//! Deletions of object files: who may decide on one, and against which refs. They are
//! published a little later, and only while they still hold (see [`super::revive`]).
//!
//! A deletion holds while no ref moved since the deleting process first looked. Two kinds of
//! moves do not count, because they cannot rely on the file:
//!
//! - the deleting process's own (rm -rf of a repository makes many);
//! - those of a process that first looked when the deleting one had ended: to it the file was
//!   gone already, published or not, as everything else was that the deleting process took.
//!   `git repack -a -d; git commit` is of this kind.
//!
//! Neither does it hold when maintenance repacked since then ([`super::repack`]): what the deleting
//! process found elsewhere, too, may be gone from there.
//!
//! A process that looked while the deleting one still ran may have found an object whose
//! neighbours were gone already, so its moves count.

use super::looks::Look;
use super::{Found, Objects, State};
use crate::error::{FsError, FsResult};
use crate::process;
use gitmoor_model::name;
use gitmoor_model::{Refusal, RepoPath, Version};
use std::time::Duration;

/// A deletion, and who may have decided on it when.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Removal {
    /// Up to which commit the deleting process had seen the repository when it first touched it.
    pub(super) seen: Version,
    /// That process.
    pid: u32,
    /// Its place among all deletions of this mount's life, from 1.
    order: u64,
}

/// A ref change, and whose.
#[derive(Clone, Copy)]
pub(super) struct Move {
    version: Version,
    /// `None` when it was not a process of this mount's.
    by: Option<Look>,
}

/// A process with deletions that are not published.
pub(super) struct Deleter {
    /// The [`Removal::order`] of the first of them.
    first: u64,
    /// When it was last there, in time since the machine started.
    last: Duration,
}

/// Ref changes, and publications of deletions, that are remembered. A deletion that began
/// before the oldest ref change is judged by the version it has seen alone; a deletion
/// published before the oldest publication counts as not settled.
const REMEMBERED: usize = 4096;

impl State {
    /// The refs version against which a deletion is judged.
    pub(super) fn base(&self, removal: Removal) -> Version {
        let remembered = self
            .moves
            .front()
            .is_none_or(|first| first.version <= removal.seen);
        let mut later = self
            .moves
            .iter()
            .filter(|moved| moved.version > removal.seen);
        let holds = !later.any(|moved| removal.may_be_missed_by(moved.by));
        match self.moves.back() {
            Some(last) if holds && (remembered || self.moves.len() < REMEMBERED) => {
                last.version.max(removal.seen)
            }
            Some(_) | None => removal.seen,
        }
    }

    pub(super) fn moved(&mut self, version: Version, by: Option<Look>) {
        if self.moves.len() == REMEMBERED {
            self.moves.pop_front();
        }
        let at = self.moves.partition_point(|known| known.version < version);
        self.moves.insert(at, Move { version, by });
    }

    /// The deletion that a process would make now.
    fn next_removal(&self, look: Look) -> Removal {
        let Look { pid, seen, .. } = look;
        let order = self.removals + 1;
        Removal { seen, pid, order }
    }

    fn remove(&mut self, path: &RepoPath, removal: Removal) {
        self.removals = removal.order;
        let last = process::now();
        let deleter = self.deleters.entry(removal.pid).or_insert(Deleter {
            first: removal.order,
            last,
        });
        deleter.last = last;
        self.removed.insert(path.clone(), removal);
        self.touched.remove(path);
    }

    /// A ref is about to be moved: takes back which deletions that forbids.
    pub(super) fn undo_removals(&mut self, by: Option<Look>) -> Vec<RepoPath> {
        let undone = self
            .removed
            .extract_if(|path, removal| name::holds_objects(path) && removal.may_be_missed_by(by));
        undone.map(|(path, _)| path).collect()
    }

    /// Deletions up to this one were done by processes that have ended.
    pub(super) fn settled(&mut self) -> u64 {
        if self.removed.is_empty() {
            self.deleters.clear();
        }
        self.deleters
            .retain(|pid, deleter| !process::has_ended(*pid, deleter.last));
        let running = self.deleters.values().map(|deleter| deleter.first).min();
        running.map_or(self.removals, |first| first - 1)
    }

    /// These deletions are in the catalog.
    pub(super) fn published_removals(&mut self, version: Version, order: u64) {
        if self.published.len() == REMEMBERED {
            self.published.pop_front();
        }
        self.published.push_back((version, order));
    }

    /// Whether a deletion that was published as this version was settled when a process looked.
    pub(super) fn was_settled(&self, version: Version, look: Look) -> bool {
        let at = self
            .published
            .binary_search_by_key(&version, |known| known.0);
        at.is_ok_and(|at| self.published[at].1 <= look.settled)
    }
}

impl Removal {
    pub(super) fn order(&self) -> u64 {
        self.order
    }

    /// Whether a process may rely on the file when it moves a ref.
    fn may_be_missed_by(self, look: Option<Look>) -> bool {
        look.is_none_or(|look| look.pid != self.pid && look.settled < self.order)
    }
}

impl Objects {
    /// unlink(2), by a process that looked.
    pub fn unlink(&self, path: &RepoPath, look: Look) -> FsResult<()> {
        let real = self.files.stat(path)?.is_some();
        if real && self.is_sealed(path) {
            return self.unlink_finished(path, look);
        }
        let catalogued = matches!(self.find(path)?, Some(Found::Entry(_)));
        if !real && !catalogued {
            return Err(FsError::NotFound);
        }
        let _no_ref_moves = self.removing.write();
        let _naming = self.naming.lock();
        let mut state = self.state.lock();
        let removal = state.next_removal(look);
        if name::holds_objects(path) {
            self.check_unmoved(&state, removal)?;
        }
        // A publication under way may be about to catalogue it.
        if catalogued || self.turn.is_locked() {
            state.remove(path, removal);
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
        let Some(repo) = self.shared.replica.repo(self.repo)? else {
            return Ok(());
        };
        let (actual, repacked) = (repo.refs_version, repo.repacked_version);
        if actual > state.base(removal) {
            return Err(Refusal::RefsMoved { actual }.into());
        }
        if repacked > removal.seen {
            let actual = repacked;
            return Err(Refusal::Repacked { actual }.into());
        }
        Ok(())
    }

    /// Objects go to the trash like all others, also those that are not stored yet.
    fn unlink_finished(&self, path: &RepoPath, look: Look) -> FsResult<()> {
        match self.publish_one(path) {
            // Damaged: there is nothing to keep.
            Err(FsError::WrongBytes { .. }) => {
                return self.unfinish(path, || self.files.unlink_if_there(path));
            }
            published => published?,
        }
        let _no_ref_moves = self.removing.write();
        let mut state = self.state.lock();
        let removal = state.next_removal(look);
        self.check_unmoved(&state, removal)?;
        state.remove(path, removal);
        state.note();
        drop(state);
        // One that was packed on the way has no file any more, and no entry: then
        // publishing the removal does nothing.
        self.unfinish(path, || self.files.unlink_if_there(path))
    }

    /// git renames a finished file away: `take` does that. What the catalog has of the name, or is about to have, goes
    /// with it.
    pub fn leave(
        &self,
        path: &RepoPath,
        look: Look,
        take: impl FnOnce() -> FsResult<()>,
    ) -> FsResult<()> {
        if !name::is_rewritable(path) {
            return self.unfinish(path, take);
        }
        let catalogued = matches!(self.find(path)?, Some(Found::Entry(_)));
        let _no_ref_moves = self.removing.write();
        let _naming = self.naming.lock();
        take()?;
        let mut state = self.state.lock();
        if catalogued || self.turn.is_locked() {
            let removal = state.next_removal(look);
            state.remove(path, removal);
        }
        state.pending.remove(path);
        state.stored.remove(path);
        state.note();
        Ok(())
    }
}
