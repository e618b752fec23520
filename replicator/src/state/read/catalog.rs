//! The catalog: the files of the objects room.

use super::{Listing, children, path_after};
use crate::model::{BlockDigest, FileAdd, FileEntry, RepoId, RepoPath};
use crate::state::view::{Step, View, decode, load};
use crate::state::{ReadError, Table, keys};

/// A file of the objects room.
pub fn file(
    view: &dyn View,
    repo: RepoId,
    path: &RepoPath,
) -> Result<Option<FileEntry>, ReadError> {
    load(view, Table::Catalog, &keys::in_repo(repo, path))
}

/// The paths of all files of the objects room.
pub(in crate::state) fn file_paths(
    view: &dyn View,
    repo: RepoId,
) -> Result<Vec<RepoPath>, ReadError> {
    let mut found = Vec::new();
    view.scan(Table::Catalog, &keys::whole_repo(repo), &mut |key, _| {
        found.push(path_after(key, keys::ID)?);
        Ok(Step::Next)
    })?;
    Ok(found)
}

/// Every file of a repository, as it was added.
pub(in crate::state) fn file_adds(
    view: &dyn View,
    repo: RepoId,
) -> Result<Vec<FileAdd>, ReadError> {
    let adds = file_paths(view, repo)?.into_iter().filter_map(|path| {
        let entry = file(view, repo, &path).transpose()?;
        let add = entry.and_then(|entry| {
            let blocks = blocks(view, repo, &path)?;
            Ok(FileAdd {
                path,
                entry,
                blocks,
            })
        });
        Some(add)
    });
    adds.collect()
}

/// The direct children of a directory of the objects room.
pub fn files_in(
    view: &dyn View,
    repo: RepoId,
    dir: &RepoPath,
) -> Result<Listing<FileEntry>, ReadError> {
    children(view, Table::Catalog, &keys::beneath(repo, dir), decode)
}

/// The block digests of a file.
pub fn blocks(
    view: &dyn View,
    repo: RepoId,
    path: &RepoPath,
) -> Result<Vec<BlockDigest>, ReadError> {
    let digests = view
        .get(Table::Blocks, &keys::in_repo(repo, path))?
        .unwrap_or_default();
    let (blocks, rest) = digests.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(ReadError::Damaged(format!(
            "block digests of {path} in {repo}"
        )));
    }
    Ok(blocks.iter().copied().map(BlockDigest).collect())
}
