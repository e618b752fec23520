//! The file system as the daemon holds it: opened once, mounted, asked for its
//! status, published before it leaves.

use crate::store::ObjectStore;
use gitmoor_replicator::Replica;
use gitmoor_replicator::model::{NamePath, RepoId};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Settings of the file system, already resolved.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data directory; already locked by the caller. Repositories' local
    /// rooms and staging live in `repos/`, cached blocks in `cache/` beneath it.
    pub data: PathBuf,
    /// Limit of the block cache, bytes.
    pub cache_bytes: u64,
    /// More pending loose objects than this become one pack.
    pub bundle_over: usize,
    /// How long a read of uncached data waits for the store.
    pub read_timeout: Duration,
    /// How long a ref change waits for its objects to be stored.
    pub publish_timeout: Duration,
    /// Pending objects are published after this long without a new one.
    pub idle_publish: Duration,
}

/// What `gitmoor status` prints of the file system.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Finished files that are not in the store yet.
    pub pending_files: u64,
    /// Their bytes.
    pub pending_bytes: u64,
    /// Bytes in the block cache.
    pub cache_bytes: u64,
    /// Its limit.
    pub cache_limit: u64,
    /// Operations that wait right now, as sentences: who waits for what since when.
    pub waits: Vec<String>,
    /// The last failure of the background publisher, if it has not succeeded since.
    pub publish_failure: Option<String>,
}

/// What `gitmoor repo info` prints.
#[derive(Clone, Debug, Serialize)]
pub struct RepoInfo {
    /// Its permanent name.
    pub id: String,
    /// Its path in the namespace.
    pub path: String,
    /// `sha1`, `sha256`, or `None` before git initialised it.
    pub object_format: Option<String>,
    /// `files` or `reftable`.
    pub ref_storage: Option<String>,
    /// Loose refs and lines of packed-refs.
    pub refs: u64,
    /// Files in the catalog.
    pub object_files: u64,
    /// Their bytes.
    pub object_bytes: u64,
    /// How many of them are packs.
    pub packs: u64,
    /// Finished files that are not in the store yet.
    pub pending_files: u64,
    /// Replicated settings.
    pub settings: std::collections::BTreeMap<String, String>,
}

/// The file system cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A disk error.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, with the path.
        context: String,
        /// The error.
        source: std::io::Error,
    },
}

/// Not everything could be published.
#[derive(Debug, thiserror::Error)]
#[error(
    "{files} finished files could not be stored yet ({reason}); they are kept in {kept} and go up at the next mount"
)]
pub struct PublishError {
    /// How many.
    pub files: u64,
    /// Why.
    pub reason: String,
    /// Where they are.
    pub kept: PathBufDisplay,
}

/// A path for messages.
#[derive(Debug)]
pub struct PathBufDisplay(pub PathBuf);

impl std::fmt::Display for PathBufDisplay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.display().fmt(f)
    }
}

/// The file system.
pub struct FileSystem {}

impl FileSystem {
    /// Opens the rooms and replays what an earlier life left pending.
    pub fn open(
        _config: Config,
        _replica: Arc<dyn Replica>,
        _store: Arc<dyn ObjectStore>,
    ) -> Result<Arc<Self>, OpenError> {
        todo!()
    }

    /// Publishes everything that is finished, within the publish timeout.
    pub fn publish_all(&self) -> Result<(), PublishError> {
        todo!()
    }

    /// For `gitmoor status`.
    pub fn status(&self) -> Status {
        todo!()
    }

    /// For `gitmoor repo info`.
    pub fn repo_info(&self, _id: RepoId) -> Result<RepoInfo, gitmoor_replicator::ReadError> {
        todo!()
    }

    /// Tells the kernel that a namespace path changed behind its back (an admin
    /// command created, renamed or deleted it).
    pub fn name_changed(&self, _path: &NamePath) {
        todo!()
    }
}
