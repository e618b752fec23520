//! Directories and repositories.

use super::{Child, children};
use crate::model::{Import, NamePath, Repo, RepoId, Version};
use crate::state::view::{View, decode, load};
use crate::state::{NameEntry, ReadError, Table, TrashedRepo, keys};

/// What stands at a path of the namespace.
pub fn name(view: &dyn View, path: &NamePath) -> Result<Option<NameEntry>, ReadError> {
    if path.is_root() {
        return Ok(Some(NameEntry::Directory));
    }
    load(view, Table::Names, &keys::name(path))
}

/// The direct children of a namespace directory, by name.
pub fn names_in(view: &dyn View, dir: &NamePath) -> Result<Vec<(Vec<u8>, NameEntry)>, ReadError> {
    let children = children(view, Table::Names, &keys::names_beneath(dir), decode)?;
    // A directory has a row of its own; that something lies beneath it too is
    // no news.
    let named = children
        .into_iter()
        .filter_map(|(name, child)| match child {
            Child::File(entry) => Some((name, entry)),
            Child::Directory => None,
        });
    Ok(named.collect())
}

/// The bytes of a file beside repositories; `None` when others have written or removed it since.
pub fn contents(view: &dyn View, version: Version) -> Result<Option<Vec<u8>>, ReadError> {
    load(view, Table::Contents, &keys::contents(version))
}

/// A repository that is not in the trash.
pub fn repo(view: &dyn View, id: RepoId) -> Result<Option<Repo>, ReadError> {
    load(view, Table::Repositories, &keys::repo(id))
}

/// Where a repository stands: in the namespace, or, of one in the trash or on its way in, where
/// it stood or shall stand.
pub fn path_of(view: &dyn View, id: RepoId) -> Result<Option<NamePath>, ReadError> {
    if let Some(repo) = repo(view, id)? {
        return Ok(Some(repo.path));
    }
    for key in [keys::trashed_repo(id), keys::expired_repo(id)] {
        if let Some(trashed) = load::<TrashedRepo>(view, Table::Trash, &key)? {
            return Ok(Some(trashed.repo.path));
        }
    }
    let import: Option<Import> = load(view, Table::Imports, &keys::import(id))?;
    Ok(import.map(|import| import.path))
}
