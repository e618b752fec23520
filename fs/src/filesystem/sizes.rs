//! How large each repository is. A catalog is counted again only when it has changed.

use super::FileSystem;
use crate::error::FsResult;
use crate::objects::catalog;
use gitmoor_replicator::model::{RepoId, Version};
use parking_lot::Mutex;
use std::collections::HashMap;

/// What was counted, and of which version of the catalog.
#[derive(Default)]
pub(super) struct Counted(Mutex<HashMap<RepoId, (Version, u64, u64)>>);

/// Of one repository.
pub(super) struct Size {
    /// Its path in the namespace.
    pub(super) repository: String,
    /// Files in the catalog.
    pub(super) files: u64,
    /// Their bytes.
    pub(super) bytes: u64,
}

impl FileSystem {
    /// Of every repository of the namespace.
    pub(super) fn repository_sizes(&self) -> FsResult<Vec<Size>> {
        let mut counted = self.counted.0.lock();
        let mut known = HashMap::new();
        let mut sizes = Vec::new();
        for repo in self.live_repos()? {
            let of = match counted.get(&repo.id) {
                Some(of) if of.0 == repo.catalog_version => *of,
                Some(_) | None => self.count(repo.id, repo.catalog_version)?,
            };
            known.insert(repo.id, of);
            sizes.push(Size {
                repository: repo.path.to_string(),
                files: of.1,
                bytes: of.2,
            });
        }
        *counted = known;
        Ok(sizes)
    }

    fn count(&self, repo: RepoId, version: Version) -> FsResult<(Version, u64, u64)> {
        let files = catalog::files(&*self.shared.replica, repo)?;
        let bytes = files.iter().map(|(_, entry)| entry.size).sum();
        Ok((version, files.len() as u64, bytes))
    }
}
