//! What `gitmoor status` and `gitmoor repo info` say.

use super::{FileSystem, Traffic, metrics, traffic};
use crate::error::{FsError, FsResult};
use crate::repository::objects::{Staged, catalog};
use gitmoor_model::RepoId;
use gitmoor_replicator::read;
use serde::Serialize;
use std::time::Duration;

/// What `gitmoor status` prints of the file system.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Finished files that are not in the store yet.
    pub pending_files: u64,
    /// Bytes of these files.
    pub pending_bytes: u64,
    /// What is staged: that, and files in the making.
    pub staged: Staged,
    /// Limit of `staged` in bytes.
    pub staging_limit: Option<u64>,
    /// Bytes in the block cache.
    pub cache_bytes: u64,
    /// Limit of the block cache in bytes.
    pub cache_limit: u64,
    /// Operations that wait right now, as sentences: who waits for what since when.
    pub waits: Vec<String>,
    /// The last failure of the background publisher, if it has not succeeded since.
    pub publish_failure: Option<String>,
    /// How long ago the cluster confirmed what is shown here; `None` when nobody else can change
    /// it, or nobody has looked yet.
    pub confirmed: Option<Duration>,
    /// The store is not asked.
    pub offline: bool,
    /// The last requests that were therefore refused.
    pub refused: Vec<String>,
    /// The last operations on the mount that cannot be done where they were asked for, and why.
    pub not_allowed: Vec<String>,
    /// Nothing can be changed.
    pub read_only: bool,
}

/// What `gitmoor repo info` prints.
#[derive(Clone, Debug, Serialize)]
pub struct RepoInfo {
    /// The repository's permanent name.
    pub id: String,
    /// Its path in the namespace.
    pub path: String,
    /// `sha1`, `sha256`, or `None` before git initialised it.
    pub object_format: Option<String>,
    /// `files` or `reftable`, as `extensions.refStorage` says.
    pub ref_storage: Option<String>,
    /// Loose or packed; those in reftables are not counted.
    pub refs: u64,
    /// Files in the catalog.
    pub object_files: u64,
    /// Bytes of these files.
    pub object_bytes: u64,
    /// How many of them are packs.
    pub packs: u64,
    /// Finished files that are not in the store yet.
    pub pending_files: u64,
    /// Replicated settings, value by key.
    pub settings: std::collections::BTreeMap<String, String>,
}

impl FileSystem {
    pub(super) fn oldest_pending(&self) -> Option<Duration> {
        let all = self.repositories.all();
        let each = all
            .iter()
            .filter_map(|repo| repo.objects().oldest_pending());
        each.max()
    }

    pub(super) fn pending(&self) -> (u64, u64) {
        let each = self
            .repositories
            .all_soon()
            .into_iter()
            .map(|repo| repo.objects().pending());
        each.fold((0, 0), |(files, bytes), (f, b)| (files + f, bytes + b))
    }

    /// What `gitmoor status` prints of the file system.
    pub fn status(&self) -> Status {
        let (pending_files, pending_bytes) = self.pending();
        let offline = self.shared.store.offline();
        Status {
            pending_files,
            pending_bytes,
            staged: self.shared.staging.staged(),
            staging_limit: self.shared.config.staging_bytes,
            cache_bytes: self.shared.cache.used_bytes(),
            cache_limit: self.shared.config.cache_bytes,
            waits: self.waits(),
            publish_failure: self.publish_failure.lock().clone(),
            confirmed: self.shared.freshness.age(),
            offline: offline.is_some(),
            not_allowed: self.refusals.sentences(),
            refused: offline.map(|offline| offline.refused()).unwrap_or_default(),
            read_only: self.is_read_only(),
        }
    }

    /// What each repository was used for, of those that were.
    pub fn traffic(&self) -> FsResult<Vec<Traffic>> {
        traffic::of_repositories(self)
    }

    /// Says how it is now in the metrics, for whoever is about to gather them.
    pub fn measure(&self) {
        metrics::measure(self);
    }

    /// Reads, then publications.
    fn waits(&self) -> Vec<String> {
        let mut waits = self.shared.cache.waits();
        let store = self.shared.store.describe();
        waits.extend(self.shared.waits.sentences(&store));
        waits.extend(self.shared.freshness.waits());
        waits
    }

    /// For `gitmoor repo info`; `None` when there is no such repository.
    pub fn repo_info(&self, id: RepoId) -> Result<Option<RepoInfo>, FsError> {
        let Some(repo) = read::repo(self.shared.replica.view(), id)? else {
            return Ok(None);
        };
        let files = catalog::files(&*self.shared.replica, id)?;
        Ok(Some(RepoInfo {
            id: id.to_string(),
            path: repo.path.to_string(),
            object_format: repo.format.map(|format| format.objects.name().to_owned()),
            ref_storage: repo.format.map(|format| format.refs.name().to_owned()),
            refs: repo.usage.refs,
            object_files: repo.usage.files,
            object_bytes: repo.usage.bytes,
            packs: files
                .iter()
                .filter(|(path, _)| path.as_bytes().ends_with(b".pack"))
                .count() as u64,
            pending_files: self.repositories.get(id)?.objects().pending().0,
            settings: repo.settings,
        }))
    }
}
