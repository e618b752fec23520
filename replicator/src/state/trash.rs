//! The trash: nothing unexplained disappears.
//!
//! A deleted repository keeps all its rows in place, keyed by its id; only its
//! name and its row among the repositories go, and the row comes here. A
//! removed object file takes what is needed to put it back along. The trash
//! row of a file does not own its key in the object store: a file of the same
//! key may have come back since. How bytes are removed for good is the matter of
//! [`super::tombstones`].

use super::apply::{Context, Halt};
use super::audit::{self, AuditEvent};
use super::view::{View, load};
use super::{Overlay, Table, catalog, keys, namespace, nest, read, tombstones};
use crate::model::{
    BlockDigest, FileAdd, FileEntry, NamePath, Refusal, Repo, RepoId, RepoPath, Timestamp, TrashId,
    Version,
};
use serde::{Deserialize, Serialize};

/// A repository in the trash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrashedRepo {
    /// When it was deleted.
    pub time: Timestamp,
    /// Version of the commit that did this.
    pub version: Version,
    /// The repository as it was, with its old path.
    pub repo: Repo,
}

/// An object file in the trash: removed, or replaced by other bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrashedFile {
    /// When the file was removed or replaced.
    pub time: Timestamp,
    /// Version of the commit that did this.
    pub version: Version,
    /// The repository that the file was of.
    pub repo: RepoId,
    /// Path of the file, `objects/…`.
    pub path: RepoPath,
    /// The entry that the catalog had.
    pub entry: FileEntry,
    /// One digest per block, as in [`crate::model::FileAdd`].
    pub blocks: Vec<BlockDigest>,
    /// All its objects were in other files of the catalog when it was removed.
    pub superseded: bool,
}

/// How a file leaves the catalog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gone {
    /// With what it holds.
    Removed,
    /// Others hold the same objects, see [`super::repack`].
    Superseded,
}

/// Whether every object file that was removed since a commit is back, or was superseded. A removal that has left the
/// trash since is refused too, and so is a replacement by other bytes: the caller looks again, which costs only time.
pub(super) fn check_unpruned(view: &dyn View, repo: RepoId, since: Version) -> Result<(), Halt> {
    let removed = read::trashed_files(view, repo, since)?;
    let in_reach = read::expired(view, repo)? <= since;
    match in_reach && removed.iter().all(|file| file.superseded) {
        true => Ok(()),
        false => Err(Refusal::Pruned.into()),
    }
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
    gone: Gone,
) {
    let trashed = TrashedFile {
        time: context.time,
        version: context.version,
        repo,
        path: path.clone(),
        entry,
        blocks,
        superseded: gone == Gone::Superseded,
    };
    overlay.put(
        Table::Trash,
        keys::trashed_file(repo, context.version, path),
        &trashed,
    );
}

/// Gives a repository in the trash a name again.
pub(super) fn restore_repo(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    id: RepoId,
    path: &NamePath,
) -> Result<(), Halt> {
    namespace::check_free(overlay, path)?;
    if !path.names_repository() {
        return Err(Refusal::BadPath(path.clone()).into());
    }
    restore_to(overlay, context, id, path)
}

/// The same under any name.
pub(super) fn restore_under(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    id: RepoId,
    path: &NamePath,
) -> Result<(), Halt> {
    namespace::check_free(overlay, path)?;
    restore_to(overlay, context, id, path)
}

/// The same at a path where it may stand, with all that went with it from inside it.
pub(super) fn restore_to(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    id: RepoId,
    path: &NamePath,
) -> Result<(), Halt> {
    let trashed: Option<TrashedRepo> = load(overlay, Table::Trash, &keys::trashed_repo(id))?;
    let around = trashed.ok_or(Refusal::NotInTrash(id))?;
    let inner = nest::take_gone(overlay, &around)?;
    let restored = |path: &NamePath| AuditEvent::Restored { path: path.clone() };
    audit::of_place(overlay, context, path, Some(id), restored(path))?;
    let from = around.repo.path.clone();
    for TrashedRepo { mut repo, .. } in std::iter::once(around).chain(inner) {
        repo.path = repo.path.moved(&from, path);
        overlay.delete(Table::Trash, keys::trashed_repo(repo.id));
        namespace::put_repo(overlay, &repo);
        audit::of_repo(overlay, context, &repo, [restored(&repo.path)])?;
    }
    Ok(())
}

/// Puts object files back where they were, unless something stands there.
pub(super) fn restore_files(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    repo: RepoId,
    files: &[TrashId],
) -> Result<(), Halt> {
    let mut row = namespace::existing_repo(overlay, repo)?;
    let mut restored = 0;
    for id in files {
        if read::file(overlay, repo, &id.path)?.is_some() {
            continue;
        }
        let Some(file) = tombstones::take(overlay, repo, id)? else {
            continue;
        };
        let (path, entry, blocks) = (file.path, file.entry, file.blocks);
        let add = FileAdd {
            path,
            entry,
            blocks,
        };
        // One by one: the same path may have been removed more than once.
        catalog::add(
            overlay,
            context,
            &mut row,
            std::slice::from_ref(&add),
            Gone::Removed,
        )?;
        restored += 1;
    }
    if restored == 0 {
        return Ok(());
    }
    row.catalog_version = context.version;
    overlay.put(Table::Repositories, keys::repo(repo), &row);
    let event = AuditEvent::ObjectsRestored { files: restored };
    Ok(audit::of_repo(overlay, context, &row, [event])?)
}
