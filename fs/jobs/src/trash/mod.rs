//! The trash: deleted object files and repositories, listed, and given back (`restore.rs`).
//!
//! They lie in the replicator's trash, their bytes untouched in the store, until gc removes what has been
//! there for longer than `trash-keep` ([`crate::gc`]).

mod restore;

pub use restore::Restored;

use gitmoor_fs::{FileSystem, FsError};
use gitmoor_model::{RepoId, Version};
use gitmoor_replicator::{read, state};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Rows and keys that one raft entry carries at most.
pub(crate) const PER_ENTRY: usize = 1000;

/// A repository that has something in the trash: itself, or object files.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrashedRepo {
    /// The repository's permanent name.
    pub id: String,
    /// Its path in the namespace; its last one, if it was deleted.
    pub name: String,
    /// When it was deleted, in seconds since 1970; `None` when it was not, and
    /// only object files of it were.
    pub deleted: Option<i64>,
    /// When gc may remove it: seconds since 1970.
    pub kept_until: Option<i64>,
    /// How many of its object files are deleted.
    pub files: u64,
    /// Bytes of the deleted object files.
    pub bytes: u64,
}

/// Lists and restores what was deleted.
pub struct Trash {
    fs: Arc<FileSystem>,
}

impl Trash {
    /// Of this file system.
    pub(crate) fn new(fs: Arc<FileSystem>) -> Self {
        Self { fs }
    }

    /// For `gitmoor repo trash`: deleted repositories, latest first, then those
    /// that have deleted object files, by name.
    pub fn list(&self) -> Result<Vec<TrashedRepo>, FsError> {
        let mut deleted = read::trashed_repos(self.fs.replica().view())?;
        deleted.sort_by_key(|trashed| std::cmp::Reverse(trashed.version));
        let deleted = deleted.iter().map(|trashed| self.deleted_repo(trashed));
        let mut found = deleted.collect::<Result<Vec<_>, _>>()?;
        for repo in self.fs.live_repos()? {
            let (files, bytes) = self.deleted_files(repo.id)?;
            if files > 0 {
                found.push(TrashedRepo {
                    id: repo.id.to_string(),
                    name: repo.path.to_string(),
                    deleted: None,
                    kept_until: None,
                    files,
                    bytes,
                });
            }
        }
        Ok(found)
    }

    fn deleted_repo(&self, trashed: &state::TrashedRepo) -> Result<TrashedRepo, FsError> {
        let (files, bytes) = self.deleted_files(trashed.repo.id)?;
        let deleted = trashed.time.secs;
        let keep = self.fs.config().trash_keep.as_secs();
        Ok(TrashedRepo {
            id: trashed.repo.id.to_string(),
            name: trashed.repo.path.to_string(),
            deleted: Some(deleted),
            kept_until: Some(deleted.saturating_add_unsigned(keep)),
            files,
            bytes,
        })
    }

    fn deleted_files(&self, id: RepoId) -> Result<(u64, u64), FsError> {
        let files = read::trashed_files(self.fs.replica().view(), id, Version::default())?;
        let bytes = files.iter().map(|file| file.entry.size).sum();
        Ok((files.len() as u64, bytes))
    }
}
