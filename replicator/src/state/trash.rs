//! The trash: nothing unexplained disappears.
//!
//! A deleted repository keeps all its rows in place, keyed by its id; only its
//! name and its row among the repositories go, and the row comes here. A
//! removed object file takes what is needed to put it back along. The trash
//! row of a file does not own its key in the object store: a file of the same
//! key may have come back since, so whoever removes the bytes for good must
//! first look for the key in the catalog.

use super::apply::Context;
use super::{Overlay, Table, keys};
use crate::model::{BlockDigest, FileEntry, Repo, RepoId, RepoPath, Timestamp, Version};
use serde::{Deserialize, Serialize};

/// A repository in the trash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrashedRepo {
    /// When it was deleted.
    pub time: Timestamp,
    /// By which commit.
    pub version: Version,
    /// The repository as it was, with its old path.
    pub repo: Repo,
}

/// An object file in the trash: removed, or replaced by other bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrashedFile {
    /// When.
    pub time: Timestamp,
    /// By which commit.
    pub version: Version,
    /// Of which repository.
    pub repo: RepoId,
    /// Its path.
    pub path: RepoPath,
    /// What it was.
    pub entry: FileEntry,
    /// Its block digests.
    pub blocks: Vec<BlockDigest>,
}

pub(super) fn keep_repo(overlay: &mut Overlay<'_>, context: Context<'_>, repo: Repo) {
    let key = keys::trashed_repo(repo.id);
    let trashed = TrashedRepo {
        time: context.time,
        version: context.version,
        repo,
    };
    overlay.put(Table::Trash, key, &trashed);
}

pub(super) fn keep_file(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    repo: RepoId,
    path: &RepoPath,
    (entry, blocks): (FileEntry, Vec<BlockDigest>),
) {
    let trashed = TrashedFile {
        time: context.time,
        version: context.version,
        repo,
        path: path.clone(),
        entry,
        blocks,
    };
    overlay.put(
        Table::Trash,
        keys::trashed_file(repo, context.version, path),
        &trashed,
    );
}
