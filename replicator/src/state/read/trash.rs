//! The trash, and what is left of what expired there.

use super::{all, all_in};
use crate::model::{RepoId, RepoPath, Version};
use crate::state::view::{KeyRange, View, load};
use crate::state::{CondemnedKey, ReadError, Table, TrashedFile, TrashedRepo, keys, loans};
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

/// The repositories whose trash time is over and whose rows are still there.
pub fn condemned_repos(view: &dyn View) -> Result<Vec<TrashedRepo>, ReadError> {
    all(view, Table::Trash, &[keys::CONDEMNED_REPO])
}

/// The condemned keys of a repository.
pub fn condemned(view: &dyn View, repo: RepoId) -> Result<Vec<CondemnedKey>, ReadError> {
    all(view, Table::Trash, &keys::all_condemned(repo))
}

/// Whether a key of the store is condemned.
pub fn is_condemned(view: &dyn View, repo: RepoId, key: &str) -> Result<bool, ReadError> {
    let row = view.get(Table::Trash, &keys::condemned(repo, key))?;
    Ok(row.is_some())
}

/// The keys under a repository's prefix that other repositories name.
pub fn lent(view: &dyn View, owner: RepoId) -> Result<BTreeSet<String>, ReadError> {
    loans::all_of(view, owner)
}

/// The commit that last forgot condemned keys of a repository; version 0 before the first.
pub fn forgotten(view: &dyn View, repo: RepoId) -> Result<Version, ReadError> {
    Ok(load(view, Table::Trash, &keys::forgotten(repo))?.unwrap_or_default())
}

/// The newest removal of object files that has left the trash for good; version 0 before the
/// first. Superseded ones do not count.
pub fn expired(view: &dyn View, repo: RepoId) -> Result<Version, ReadError> {
    Ok(load(view, Table::Trash, &keys::expired(repo))?.unwrap_or_default())
}
