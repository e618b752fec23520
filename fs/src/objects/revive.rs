//! Pruning against pushing.
//!
//! A push does not write an object that it finds there, and a prune deletes one that
//! it finds unreachable. If both look before either acts, the ref of the push names a
//! deleted object. Two rules keep that from happening, whoever comes first:
//!
//! - A deletion of objects is refused when a ref moved since the deleting process
//!   first looked at the repository: at once (`Objects::check_unmoved`), and again when it
//!   is published (the replicator's `catalog::check_removal`), which undoes it.
//! - A ref change brings back what was deleted since the process that makes it
//!   first looked ([`Objects::revive`]): the bytes are in the trash.
//!
//! "First looked" is before anything that the process can have read through the
//! mount: its first lookup, open or listing in the repository. Between a revival
//! and the commit of its ref no deletion is published ([`Objects::removing`]). Both know
//! the processes of this mount only, which is all of them today.
//!
//! A revival undoes a repack as well: its objects are in the new pack, but only
//! git could tell. The next one removes the old packs again.

use super::Objects;
use super::name::{self, Kind};
use crate::error::FsResult;
use gitmoor_replicator::model::{Actor, Change, Command, RepoChange, RepoPath, TrashId, Version};
use std::time::Duration;

/// A process that did nothing here for so long is seen as new.
const PROCESS_IDLE: Duration = Duration::from_secs(6 * 3600);

/// Revivals that one raft entry carries at most.
const PER_ENTRY: usize = 1000;

/// When each process first looked.
pub(super) type FirstLooks = moka::sync::Cache<u32, Version>;

pub(super) fn first_looks() -> FirstLooks {
    moka::sync::Cache::builder()
        .max_capacity(100_000)
        .time_to_idle(PROCESS_IDLE)
        .build()
}

/// Whether a path holds objects, rather than what can be made again from them.
pub(super) fn holds_objects(path: &RepoPath) -> bool {
    matches!(name::kind(path), Some(Kind::Loose | Kind::Pack))
}

impl Objects {
    /// A version that is not later than anything that a process has seen of refs
    /// and objects here. To be called before it is shown anything.
    pub fn seen_by(&self, pid: u32) -> Version {
        self.first_looks.get_with(pid, || {
            let known = self.shared.replica.repo(self.repo);
            known.ok().flatten().map_or(Version::default(), |repo| {
                repo.refs_version.max(repo.catalog_version)
            })
        })
    }

    /// Brings back what was deleted since the process of a ref change first
    /// looked. [`Objects::removing`] is held.
    pub(super) fn revive(&self, change: &RepoChange, actor: &Actor) -> FsResult<()> {
        let relies = change.refs.iter().any(|edit| edit.change != Change::Delete);
        let Some(pid) = actor.pid.filter(|_| relies) else {
            return Ok(());
        };
        let (seen, repo) = (self.seen_by(pid), self.shared.replica.repo(self.repo)?);
        if repo.is_none_or(|repo| repo.catalog_version <= seen) {
            return Ok(());
        }
        let deleted = self.shared.replica.trashed_files(self.repo, seen)?;
        let deleted = deleted.into_iter().filter(|file| holds_objects(&file.path));
        let deleted: Vec<_> = deleted
            .map(|file| TrashId {
                version: file.version,
                path: file.path,
            })
            .collect();
        if !deleted.is_empty() {
            tracing::warn!(repo = %self.repo, pid, files = deleted.len(), "deleted while a ref change that may need them was under way: they are back, run the pruning repack again");
        }
        for files in deleted.chunks(PER_ENTRY) {
            let (repo, files) = (self.repo, files.to_vec());
            let paths: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
            self.propose_command(Command::RestoreFiles { repo, files }, actor)?;
            for path in &paths {
                (self.shared.changed)(repo, path);
            }
        }
        Ok(())
    }
}
