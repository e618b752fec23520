//! The trash, and what is left of what expired there.

use super::{all, all_in};
use crate::model::{RepoId, RepoPath, Version};
use crate::state::view::{KeyRange, View, load};
use crate::state::{ReadError, Table, Tombstone, TrashedFile, TrashedRepo, keys, shared_keys};
use std::collections::BTreeSet;

/// The repositories in the trash.
pub fn trashed_repos(view: &dyn View) -> Result<Vec<TrashedRepo>, ReadError> {
    all(view, Table::Trash, &[keys::TRASHED_REPO])
}

/// The object files of a repository in the trash that were removed after a
/// version, oldest removal first.
pub fn trashed_files(
    view: &dyn View,
    repo: RepoId,
    after: Version,
) -> Result<Vec<TrashedFile>, ReadError> {
    let first = Version(after.0.saturating_add(1));
    let range = KeyRange {
        from: keys::trashed_file(repo, first, &RepoPath::root()),
        ..KeyRange::prefix(&keys::trashed_files(repo))
    };
    all_in(view, Table::Trash, &range)
}

/// The repositories that have expired and are not purged yet.
pub fn expired_repos(view: &dyn View) -> Result<Vec<TrashedRepo>, ReadError> {
    all(view, Table::Trash, &[keys::EXPIRED_REPO])
}

/// The tombstones of the keys of a repository.
pub fn tombstones(view: &dyn View, repo: RepoId) -> Result<Vec<Tombstone>, ReadError> {
    all(view, Table::Trash, &keys::tombstones(repo))
}

/// Whether a key of the store has a tombstone: then nobody may name it.
pub fn has_tombstone(view: &dyn View, repo: RepoId, key: &str) -> Result<bool, ReadError> {
    let row = view.get(Table::Trash, &keys::tombstone(repo, key))?;
    Ok(row.is_some())
}

/// The keys of a repository that other repositories, its forks, name.
pub fn shared_keys(view: &dyn View, owner: RepoId) -> Result<BTreeSet<String>, ReadError> {
    shared_keys::all_of(view, owner)
}

/// The commit by which tombstones of a repository last expired; version 0 before the first.
pub fn tombstones_as_of(view: &dyn View, repo: RepoId) -> Result<Version, ReadError> {
    Ok(load(view, Table::Trash, &keys::tombstones_as_of(repo))?.unwrap_or_default())
}

/// The newest removal of object files that has left the trash for good; version 0 before the
/// first. Superseded ones do not count.
pub fn expired(view: &dyn View, repo: RepoId) -> Result<Version, ReadError> {
    Ok(load(view, Table::Trash, &keys::expired(repo))?.unwrap_or_default())
}
