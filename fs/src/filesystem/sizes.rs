//! How large each repository is.

use super::FileSystem;
use crate::error::FsResult;
use gitmoor_model::Limit;

pub(super) struct Size {
    /// Its path in the namespace.
    pub(super) repository: String,
    /// Files in the catalog.
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// How many bytes it may have, if that is limited.
    pub(super) quota: Option<u64>,
}

/// Of every repository of the namespace.
pub(super) fn of_repositories(fs: &FileSystem) -> FsResult<Vec<Size>> {
    let repos = fs.live_repos()?.into_iter();
    let sizes = repos.map(|repo| Size {
        repository: repo.path.to_string(),
        files: repo.usage.files,
        bytes: repo.usage.bytes,
        quota: repo.limits.get(&Limit::Bytes).copied(),
    });
    Ok(sizes.collect())
}
