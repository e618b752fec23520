//! The catalog half of a commit: object files come and go.

use super::apply::{Context, Halt};
use super::trash::Gone;
use super::{Overlay, ReadError, Table, keys, namespace, quota, read, trash};
use crate::model::{
    BlockDigest, FileAdd, FileEntry, FileRemoval, FileTouch, Refusal, Repo, RepoId, RepoPath,
    Version,
};

/// Whether the removal still holds: no ref moved since the walk behind it, and nothing that it may
/// rely on was superseded.
pub(super) fn check_removal(repo: &Repo, removal: Option<&FileRemoval>) -> Result<(), Halt> {
    let Some(removal) = removal else {
        return Ok(());
    };
    check_unmoved(repo, removal.unless_refs_moved_since)?;
    match removal.unless_repacked_since {
        Some(since) if repo.repacked_version > since => Err(Refusal::Repacked {
            actual: repo.repacked_version,
        }
        .into()),
        Some(_) | None => Ok(()),
    }
}

/// Whether no ref moved since a commit.
pub(super) fn check_unmoved(repo: &Repo, since: Option<Version>) -> Result<(), Halt> {
    match since {
        Some(since) if repo.refs_version > since => Err(Refusal::RefsMoved {
            actual: repo.refs_version,
        }
        .into()),
        Some(_) | None => Ok(()),
    }
}

/// Removes files into the trash; returns how many were there. Comes before
/// [`add`], so that a path that is in both has its new content.
pub(super) fn remove(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    repo: &mut Repo,
    paths: &[RepoPath],
    gone: Gone,
) -> Result<u64, ReadError> {
    let mut removed = 0;
    for path in paths {
        let Some(file) = take(overlay, repo, path)? else {
            continue;
        };
        trash::keep_file(overlay, context, repo.id, path, file, gone);
        removed += 1;
    }
    Ok(removed)
}

fn take(
    overlay: &mut Overlay<'_>,
    repo: &mut Repo,
    path: &RepoPath,
) -> Result<Option<(FileEntry, Vec<BlockDigest>)>, ReadError> {
    let id = repo.id;
    let Some(entry) = read::file(overlay, id, path)? else {
        return Ok(None);
    };
    let blocks = read::blocks(overlay, id, path)?;
    overlay.delete(Table::Catalog, keys::in_repo(id, path));
    overlay.delete(Table::Blocks, keys::in_repo(id, path));
    quota::less(&mut repo.usage, &entry);
    Ok(Some((entry, blocks)))
}

/// Adds files. A file that takes the place of one with other bytes sends that
/// one to the trash: its bytes in the object store must not be forgotten.
pub(super) fn add(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    repo: &mut Repo,
    files: &[FileAdd],
    gone: Gone,
) -> Result<(), ReadError> {
    for file in files {
        if let Some(old) = take(overlay, repo, &file.path)?
            && old.0.place != file.entry.place
        {
            trash::keep_file(overlay, context, repo.id, &file.path, old, gone);
        }
        quota::more(&mut repo.usage, &file.entry);
        let key = keys::in_repo(repo.id, &file.path);
        if !file.blocks.is_empty() {
            let digests = file.blocks.iter().flat_map(|block| block.0).collect();
            overlay.put_raw(Table::Blocks, key.clone(), digests);
        }
        overlay.put(Table::Catalog, key, &file.entry);
    }
    Ok(())
}

/// Gives files new times and permission bits. A whole entry that was remembered since would bring back
/// what others removed or moved meanwhile.
pub(super) fn touch(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    id: RepoId,
    files: &[FileTouch],
) -> Result<(), Halt> {
    let mut repo = namespace::existing_repo(overlay, id)?;
    let mut touched = false;
    for file in files {
        let Some(old) = read::file(overlay, id, &file.path)? else {
            continue;
        };
        let mut new = old.clone();
        file.apply(&mut new);
        if new != old {
            overlay.put(Table::Catalog, keys::in_repo(id, &file.path), &new);
            touched = true;
        }
    }
    if touched {
        repo.catalog_version = context.version;
        overlay.put(Table::Repositories, keys::repo(id), &repo);
    }
    Ok(())
}
