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
use crate::process;
use gitmoor_replicator::model::{Actor, Change, Command, RepoChange, RepoPath, TrashId, Version};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A process that did nothing here for so long is seen as new.
const PROCESS_IDLE: Duration = Duration::from_secs(6 * 3600);

/// Revivals that one raft entry carries at most.
const PER_ENTRY: usize = 1000;

/// How long a process number is taken for the same process without asking. To come around in
/// this time the machine would have to start all of its numbers.
const ASKED: Duration = Duration::from_secs(1);

/// When each process first looked.
pub(super) type FirstLooks = moka::sync::Cache<u32, Arc<FirstLook>>;

pub(super) struct FirstLook {
    version: Version,
    at: Duration,
    /// When it was last seen to be that process, milliseconds since the machine started.
    known: AtomicU64,
}

impl FirstLook {
    fn new(version: Version) -> Arc<Self> {
        let at = process::now();
        let known = AtomicU64::new(millis(at));
        Arc::new(Self { version, at, known })
    }

    /// Whether it is the look of the process that has this number now. In doubt it is: who
    /// looked earlier is only refused more.
    fn is_of(&self, pid: u32) -> bool {
        let now = millis(process::now());
        if now.saturating_sub(self.known.load(Ordering::Relaxed)) < millis(ASKED) {
            return true;
        }
        let same = process::started(pid).is_none_or(|started| started <= self.at);
        if same {
            self.known.store(now, Ordering::Relaxed);
        }
        same
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("less than millions of years")
}

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
        let look = self
            .first_looks
            .get_with(pid, || FirstLook::new(self.now()));
        if look.is_of(pid) {
            return look.version;
        }
        let version = self.now();
        self.first_looks.insert(pid, FirstLook::new(version));
        version
    }

    fn now(&self) -> Version {
        let known = self.shared.replica.repo(self.repo);
        known.ok().flatten().map_or(Version::default(), |repo| {
            repo.refs_version.max(repo.catalog_version)
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
