//! What each repository was used for since the process started.

use super::FileSystem;
use crate::error::FsResult;
use gitmoor_replicator::read;
use gitmoor_store::object_store::moved_of;
use serde::{Deserialize, Serialize};

/// Of one repository; all of it only grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// The repository's permanent name.
    pub id: String,
    /// Its path in the namespace.
    pub name: String,
    /// File operations, as far as the kernel did not answer them itself.
    pub operations: u64,
    /// Bytes from the store.
    pub received_bytes: u64,
    /// Bytes sent to the store.
    pub sent_bytes: u64,
}

/// Of every repository that was touched.
pub(super) fn of_repositories(fs: &FileSystem) -> FsResult<Vec<Traffic>> {
    let mut all = Vec::new();
    for repository in fs.repositories.all() {
        let Some(repo) = read::repo(fs.shared.replica.view(), repository.id)? else {
            continue;
        };
        let moved = moved_of(repo.id);
        all.push(Traffic {
            id: repo.id.to_string(),
            name: repo.path.to_string(),
            operations: repository.operations(),
            received_bytes: moved.received,
            sent_bytes: moved.sent,
        });
    }
    Ok(all)
}
