//! Pruning against pushing.
//!
//! A push does not write an object that it finds there, and a prune deletes one that
//! it finds unreachable. If both look before either acts, the ref of the push names a
//! deleted object. Two rules keep that from happening, whoever comes first:
//!
//! - A deletion of objects is refused when a ref moved since the deleting process
//!   first looked at the repository: at once (`Transactions::check_unmoved`), and again when it
//!   is published (the replicator's `catalog::check_removal`), which undoes it.
//! - A ref change brings back what was deleted since the process that makes it
//!   first looked (`Transactions::undelete`): the bytes are in the trash.
//!
//! "First looked" is before anything that the process can have read through the
//! mount: its first lookup, open or listing in the repository ([`super::read_version`]). Between an undeletion
//! and the commit of its ref no deletion is published through this mount ([`PendingDeletions::ref_change`]). One that is
//! published through another makes the replicator refuse the
//! ref change (its `trash::check_unpruned`), and it begins again.
//!
//! Two kinds of ref changes do not count against a deletion, nor bring back what it took, because they cannot rely
//! on the file:
//!
//! - the deleting process's own (rm -rf of a repository makes many);
//! - those of a process that first looked when the deleting one had ended: to it the file was
//!   gone already, published or not, as everything else was that the deleting process took.
//!   `git repack -a -d; git commit` is of this kind.
//!
//! A process that looked while the deleting one still ran may have found an object whose
//! neighbours were gone already, so its ref changes count.
//!
//! Neither does a deletion hold when maintenance repacked since the deleting process looked ([`super::repack`]): what
//! it found elsewhere, too, may be gone from there.
//!
//! What has left the trash for good cannot be brought back: a ref change of a process that looked before it was
//! removed is refused, once, and the process begins anew.
//!
//! Neither rule concerns deletions that lose nothing ([`super::superseded`]), as of what a repack by git has packed anew, nor
//! what maintenance removed: that the objects are in other files was proved. Such a deletion counts as a repack for others,
//! which may rely on what it removed.
//!
//! [`PendingDeletions`] is the state of all that: deletions that are not published yet, and what is remembered of ref changes
//! and published deletions. Nothing else holds any of it.

use super::read_version::ReadVersion;
use crate::process;
use gitmoor_model::name;
use gitmoor_model::{RepoPath, Version};
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

/// Ref changes, and publications of deletions, that are remembered. A deletion that began
/// before the oldest ref change is judged by the version it has seen alone; a deletion
/// published before the oldest publication counts as not settled.
const REMEMBERED: usize = 4096;

/// A deletion, and who may have decided on it when.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Removal {
    /// Up to which commit the deleting process had seen the repository when it first touched it.
    pub(super) seen: Version,
    pid: u32,
    /// Its place among all deletions of this mount's life, from 1.
    pub(super) order: u64,
    /// Deletions up to this one were over when the deleting process first looked.
    settled: u64,
}

/// Deletions of this mount that lost nothing, see [`super::superseded`].
pub(super) struct Superseding {
    /// The commit of them.
    version: Version,
    /// The last repack before that.
    before: Version,
    /// What their proof stands on.
    relied: HashSet<RepoPath>,
    /// The [`Removal::order`] of the last of them.
    last: u64,
}

impl Superseding {
    pub(super) fn new(version: Version, before: Version, relied: HashSet<RepoPath>) -> Self {
        Self {
            version,
            before,
            relied,
            last: 0,
        }
    }
}

/// A ref change, and whose.
#[derive(Clone, Copy)]
struct Move {
    version: Version,
    /// `None` when it was not a process of this mount's.
    by: Option<ReadVersion>,
}

/// A process with deletions that are not published.
struct Deleter {
    /// The [`Removal::order`] of the first of them.
    first: u64,
    /// When it was last there, in time since the machine started.
    last: Duration,
}

/// See the module. Of one repository.
#[derive(Default)]
pub(crate) struct PendingDeletions {
    state: Mutex<State>,
    /// Held shared while a ref change is committed, exclusively while deletions are.
    gate: RwLock<()>,
}

#[derive(Default)]
struct State {
    /// Catalogued files that git deleted, and whose deletion is not published.
    removed: HashMap<RepoPath, Removal>,
    /// How many there ever were.
    removals: u64,
    /// Whose they are; others may still be here until somebody looks.
    deleters: HashMap<u32, Deleter>,
    /// The last publications of deletions, oldest first, with the last deletion of each.
    published: VecDeque<(Version, u64)>,
    /// The last ref changes that went through here, oldest first.
    moves: VecDeque<Move>,
    /// The last deletions that lost nothing, oldest first.
    supersedings: VecDeque<Superseding>,
}

impl PendingDeletions {
    /// Whether git deleted a file that the catalog still has.
    pub(crate) fn hides(&self, path: &RepoPath) -> bool {
        self.state.lock().removed.contains_key(path)
    }

    /// Whether no deletion waits to be published.
    pub(crate) fn is_settled(&self) -> bool {
        self.state.lock().removed.is_empty()
    }

    /// A name has a file again.
    pub(crate) fn has_anew(&self, path: &RepoPath) {
        self.state.lock().removed.remove(path);
    }

    /// While it is held no deletion is published.
    pub(super) fn ref_change(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read()
    }

    /// While it is held no ref moves.
    pub(super) fn deletion(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write()
    }

    /// Deletions that wait to be published.
    pub(super) fn waiting(&self) -> HashMap<RepoPath, Removal> {
        self.state.lock().removed.clone()
    }

    /// Whether this deletion still waits: the file may be there anew.
    pub(super) fn still(&self, path: &RepoPath, removal: Removal) -> bool {
        self.state.lock().removed.get(path) == Some(&removal)
    }

    /// A deletion is published, or undone.
    pub(super) fn forget(&self, path: &RepoPath) {
        self.state.lock().removed.remove(path);
    }

    /// The deletion that a process would make now. [`PendingDeletions::deletion`] is held.
    pub(super) fn next(&self, read: ReadVersion) -> Removal {
        Removal {
            seen: read.seen,
            pid: read.pid,
            order: self.state.lock().removals + 1,
            settled: read.settled,
        }
    }

    /// That deletion is made.
    pub(super) fn remove(&self, path: &RepoPath, removal: Removal) {
        let last = process::now();
        let mut state = self.state.lock();
        state.removals = removal.order;
        let deleter = state.deleters.entry(removal.pid).or_insert(Deleter {
            first: removal.order,
            last,
        });
        deleter.last = last;
        state.removed.insert(path.clone(), removal);
    }

    /// The refs version against which a deletion is judged.
    pub(super) fn base(&self, removal: Removal) -> Version {
        self.state.lock().base(removal)
    }

    /// Up to which repack a deletion of a file holds. Those by deletions of this mount do not count, unless their proof
    /// stands on this very file, and its deletion may have been decided on when what it stands for was there.
    pub(super) fn repacked_base(&self, path: &RepoPath, removal: Removal) -> Version {
        let state = self.state.lock();
        let mut base = removal.seen;
        let later = state.supersedings.iter();
        for own in later.filter(|own| own.version > removal.seen) {
            let misled = own.relied.contains(path) && own.last > removal.settled;
            if own.before > base || misled {
                break;
            }
            base = own.version;
        }
        base
    }

    /// These deletions lost nothing.
    pub(super) fn superseded(&self, mut superseding: Superseding, paths: &[RepoPath]) {
        let mut state = self.state.lock();
        let orders = paths.iter().filter_map(|path| state.removed.get(path));
        superseding.last = orders
            .map(|removal| removal.order)
            .max()
            .unwrap_or(u64::MAX);
        if state.supersedings.len() == REMEMBERED {
            state.supersedings.pop_front();
        }
        state.supersedings.push_back(superseding);
    }

    /// Whether a ref change would take a deletion back.
    pub(super) fn is_missed(&self, by: Option<ReadVersion>) -> bool {
        let state = self.state.lock();
        state
            .removed
            .iter()
            .any(|(path, removal)| name::holds_git_objects(path) && removal.may_be_missed_by(by))
    }

    pub(super) fn moved(&self, version: Version, by: Option<ReadVersion>) {
        let mut state = self.state.lock();
        if state.moves.len() == REMEMBERED {
            state.moves.pop_front();
        }
        let at = state.moves.partition_point(|known| known.version < version);
        state.moves.insert(at, Move { version, by });
    }

    /// A ref is about to be moved: takes back which deletions that forbids.
    pub(super) fn undo(&self, by: Option<ReadVersion>) -> Vec<RepoPath> {
        let mut state = self.state.lock();
        let undone = state.removed.extract_if(|path, removal| {
            name::holds_git_objects(path) && removal.may_be_missed_by(by)
        });
        undone.map(|(path, _)| path).collect()
    }

    /// Deletions up to this one were done by processes that have ended.
    pub(super) fn settled(&self) -> u64 {
        let mut state = self.state.lock();
        if state.removed.is_empty() {
            state.deleters.clear();
        }
        state
            .deleters
            .retain(|pid, deleter| !process::has_ended(*pid, deleter.last));
        let running = state.deleters.values().map(|deleter| deleter.first).min();
        running.map_or(state.removals, |first| first - 1)
    }

    /// These deletions are in the catalog, the last of them as this one.
    pub(super) fn published(&self, version: Version, order: u64) {
        let mut state = self.state.lock();
        if state.published.len() == REMEMBERED {
            state.published.pop_front();
        }
        state.published.push_back((version, order));
    }

    /// Whether a deletion that was published as this version was settled when a process looked.
    pub(super) fn was_settled(&self, version: Version, read: ReadVersion) -> bool {
        let state = self.state.lock();
        let at = state
            .published
            .binary_search_by_key(&version, |known| known.0);
        at.is_ok_and(|at| state.published[at].1 <= read.settled)
    }
}

impl State {
    fn base(&self, removal: Removal) -> Version {
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
}

impl Removal {
    /// Whether a process may rely on the file when it moves a ref.
    fn may_be_missed_by(self, read: Option<ReadVersion>) -> bool {
        read.is_none_or(|read| read.pid != self.pid && read.settled < self.order)
    }
}
