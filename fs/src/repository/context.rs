//! What the repositories of a file system share, and its settings.

use super::objects::{Seals, Staging};
use super::quarantine::Quarantines;
use super::refs::Large;
use super::transaction::ReadVersions;
use crate::beneath::Dir;
use crate::consistency::{Freshness, RemoteChanges};
use crate::error::{FsError, FsResult, done};
use crate::hooks::Hooks;
use crate::owner::Ownership;
use crate::process::Origins;
use gitmoor_model::{Actor, Command, NamePath, RepoId, RepoPath, Version};
use gitmoor_replicator::{Replica, read};
use gitmoor_store::block_cache::BlockCache;
use gitmoor_store::object_store::{ObjectStore, StoreError};
use gitmoor_store::wait::{Wait, Waits, profile};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a mount; the default shows everything as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    /// Everything belongs to this user.
    pub uid: Option<u32>,
    /// Everything belongs to this group.
    pub gid: Option<u32>,
    /// Permission bits that nothing has.
    pub umask: u32,
}

/// Settings of the file system, already resolved.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data directory; already locked by the caller. Repositories' local
    /// rooms and staging live in `repos/`, cached blocks in `cache/` beneath it.
    pub data: PathBuf,
    /// Limit of the block cache, bytes.
    pub cache_bytes: u64,
    /// Keep at least this much of the disk free, bytes.
    pub cache_free_floor: u64,
    /// More pending loose objects than this become one pack.
    pub bundle_over: usize,
    /// Limit of what is staged, bytes; `None` is no limit.
    pub staging_bytes: Option<u64>,
    /// How long a read of uncached data waits for the store.
    pub read_timeout: Duration,
    /// How long a ref change waits for its objects to be stored.
    pub publish_timeout: Duration,
    /// Pending objects are published after this long without a new one.
    pub idle_publish: Duration,
    /// How old what the cluster has acknowledged may be when it is read here.
    pub stale_reads: Duration,
    /// A FUSE operation that takes longer is logged.
    pub slow_operation: Duration,
    /// The part of all commands that is traced, while traces are exported: 0 to 1.
    pub trace_ratio: f64,
    /// Deleted repositories and object files can be restored for this long.
    pub trash_keep: Duration,
    /// What the store holds without an owner is left alone for this long.
    pub gc_grace: Duration,
    /// How often gc runs by itself.
    pub gc_period: Duration,
    /// How old the newest backup may be; `None` for none by themselves.
    pub backup_period: Option<Duration>,
    /// How many backups are kept.
    pub backup_keep: usize,
    /// Every change is refused, nothing is stored, nothing proposed.
    pub read_only: bool,
    /// The data directory may be the second of its kind: the store is not its own until it is taken over.
    pub is_copy: bool,
    /// Names directly under the mount that are directories of this machine.
    pub local: Vec<NamePath>,
    /// A directory that is `hooks/` of every repository.
    pub hooks: Option<PathBuf>,
    /// A repository that lacks hooks here which it has on other machines takes pushes.
    pub lenient_hooks: bool,
    /// What is shown of owners and permission bits.
    pub shown: Shown,
    /// How often repositories are looked at for maintenance; `None` for none by itself.
    pub maintenance_period: Option<Duration>,
    /// It is due with so many loose objects …
    pub maintenance_loose: usize,
    /// … or so many packs.
    pub maintenance_packs: usize,
    /// Objects that nothing reaches are kept for so long by a full maintenance.
    pub cruft_expiration: Duration,
}

impl Config {
    /// For tests: nothing happens by itself, and nothing is in a hurry.
    #[doc(hidden)]
    pub fn for_tests(data: PathBuf) -> Self {
        let hour = Duration::from_secs(3600);
        Self {
            data,
            cache_bytes: 64 << 20,
            cache_free_floor: 0,
            bundle_over: 10,
            staging_bytes: None,
            read_timeout: hour,
            publish_timeout: hour,
            idle_publish: hour,
            stale_reads: Duration::ZERO,
            slow_operation: hour,
            trace_ratio: 1.0,
            trash_keep: hour,
            gc_grace: hour,
            gc_period: hour,
            backup_period: None,
            backup_keep: 1,
            read_only: false,
            is_copy: false,
            local: Vec::new(),
            hooks: None,
            lenient_hooks: false,
            shown: Shown::default(),
            maintenance_period: None,
            maintenance_loose: 500,
            maintenance_packs: 20,
            cruft_expiration: Duration::ZERO,
        }
    }
}

/// Takes a name of a repository that changed without the kernel's doing.
pub(crate) type Changed = dyn Fn(RepoId, &RepoPath) + Send + Sync;

/// What all repositories of a file system share: where bytes and refs go, settings, and who waits.
pub(crate) struct Context {
    pub replica: Arc<dyn Replica>,
    /// Where bytes go.
    pub store: Arc<dyn ObjectStore>,
    /// Whose that is; `None` of a mount that does not write there.
    pub ownership: Option<Arc<Ownership>>,
    /// Where they are read.
    pub cache: Arc<BlockCache>,
    /// The directories of all repositories.
    pub homes: Arc<Dir>,
    pub config: Config,
    /// What is `hooks/` of every repository.
    pub(crate) hooks: Hooks,
    /// Publications that wait for the store, and writers that wait for these.
    pub waits: Waits,
    /// How much is not there yet.
    pub staging: Arc<Staging>,
    /// Whether the cluster is to be asked before something is shown.
    pub freshness: Freshness,
    pub remote_changes: Arc<RemoteChanges>,
    /// Where changes come from.
    pub(crate) origins: Origins,
    /// Where pushes keep what is not theirs to keep yet.
    pub(crate) quarantines: Quarantines,
    /// What each process has read of each repository.
    pub(crate) read_versions: ReadVersions,
    /// How many large values are being committed.
    pub large: Large,
    /// Which files are written to, and which nobody writes to any more.
    pub(crate) seals: Seals,
    /// Called with a name that changed without the kernel: the name is invalidated, and gets a new inode.
    pub changed: Box<Changed>,
    /// Called with a name whose inode this mount has replaced already: the name is invalidated, and keeps its inode.
    pub renewed: Box<Changed>,
    /// Called with a repository whose top directory has got another owner or other permission bits.
    pub top_changed: Box<dyn Fn(RepoId) + Send + Sync>,
}

impl Context {
    /// Fails if the store is another state's: before long work that stores or deletes. Each request is checked
    /// by itself, too, so that a store which does not answer is no reason not to begin.
    pub(crate) fn check_owner(&self, what: &str) -> FsResult<()> {
        match self.ownership.as_ref().map(|own| own.confirm(what)) {
            None | Some(Err(FsError::Store(StoreError::Unavailable { .. }))) => Ok(()),
            Some(confirmed) => confirmed,
        }
    }

    /// Commits a command, and notes how long that took.
    pub(crate) fn propose(&self, actor: Actor, command: Command) -> FsResult<Version> {
        let kind = command.kind();
        let propose = || self.replica.propose(actor, command);
        done(profile::timed(
            || format!("the replicator's {kind}"),
            propose,
        )?)
    }

    /// Somebody waits for the store on behalf of a repository; `what` is told in `gitmoor status`.
    pub(crate) fn begin_wait(&self, repo: RepoId, what: &str) -> FsResult<Wait> {
        let path = read::repo(self.replica.view(), repo)?.map(|repo| repo.path);
        let path = path.map_or(String::new(), |path| path.to_string());
        Ok(self.begin_wait_in(what, &path))
    }

    /// The same in a repository that has no name yet.
    pub(crate) fn begin_wait_in(&self, what: &str, path: &str) -> Wait {
        let limit = self.config.publish_timeout;
        self.waits.begin(format!("{what} in {path}"), limit)
    }
}
