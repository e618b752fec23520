//! The way out of the trash for good: condemned, deleted, forgotten.
//!
//! The same object pushed anew has the same key, so a key may be named again at
//! any moment, also by a publisher that has just found its bytes in the store while
//! somebody is about to delete them. What keeps the two apart is here:
//!
//! 1. A key is condemned only by a command, and only while neither the catalog
//!    nor the trash names it.
//! 2. No command names a condemned key ([`check_adds`]).
//! 3. Bytes are deleted only while their key is condemned, and the key is forgotten
//!    no earlier than [`QUARANTINE`] after that.
//! 4. A publisher reads [`forgotten`] before it puts its first key, and its
//!    [`Publish`](crate::model::Command::Publish) is refused if that has changed.
//!
//! So when a publication succeeds, none of its keys was condemned at any moment
//! since it looked: by 2 none is now, and by 4 none was forgotten in between. By 3
//! nothing of it was deleted since then, and from now on the catalog names it,
//! so that by 1 it cannot be condemned. No interleaving loses bytes.

use super::apply::{Context, Halt};
use super::trash::{TrashedFile, TrashedRepo};
use super::view::{KeyRange, View, load};
use super::{Overlay, Table, import, keys, read};
use crate::ReadError;
use crate::model::{
    Condemnation, FileAdd, FileEntry, Place, QUARANTINE, Refusal, RepoId, RepoPath, Timestamp,
    TrashId, Version,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::SystemTime;

/// A key of the store that nobody may name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CondemnedKey {
    /// The key.
    pub key: String,
    /// Since when.
    pub since: Timestamp,
    /// When its bytes were known to be deleted; `None` before that.
    pub deleted: Option<Timestamp>,
}

/// Condemns the keys of expired files and of leftovers, as far as nobody names them.
pub(super) fn condemn(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    condemnation: &Condemnation,
) -> Result<(), Halt> {
    let repo = condemnation.repo;
    let mut doomed: BTreeSet<_> = condemnation.leftovers.iter().cloned().collect();
    for id in &condemnation.expired {
        let file = take(overlay, repo, id)?;
        doomed.extend(file.and_then(stored_key));
    }
    let in_trash = trashed_keys(overlay, repo)?;
    for key in doomed {
        let row = keys::condemned(repo, &key);
        let known = overlay.get(Table::Trash, &row)?.is_some();
        if known || in_trash.contains(&key) || is_catalogued(overlay, repo, &key)? {
            continue;
        }
        let condemned = CondemnedKey {
            key,
            since: context.time,
            deleted: None,
        };
        overlay.put(Table::Trash, row, &condemned);
    }
    Ok(())
}

/// A row of the trash, which is then no longer there.
pub(super) fn take(
    overlay: &mut Overlay<'_>,
    repo: RepoId,
    id: &TrashId,
) -> Result<Option<TrashedFile>, ReadError> {
    let row = keys::trashed_file(repo, id.version, &id.path);
    let file = load(overlay, Table::Trash, &row)?;
    if file.is_some() {
        overlay.delete(Table::Trash, row);
    }
    Ok(file)
}

fn trashed_keys(view: &dyn View, repo: RepoId) -> Result<BTreeSet<String>, ReadError> {
    let files = read::trashed_files(view, repo, Version::default())?.into_iter();
    Ok(files.filter_map(stored_key).collect())
}

fn stored_key(file: TrashedFile) -> Option<String> {
    file.entry.key().map(str::to_owned)
}

/// Whether the catalog names a key. A key is the repository's id and the path of
/// the file that it was made for, perhaps with suffixes after a dot; so only the
/// rows of these few paths can name it.
fn is_catalogued(view: &dyn View, repo: RepoId, key: &str) -> Result<bool, ReadError> {
    let Some(path) = key.strip_prefix(&format!("{repo}/")) else {
        return Ok(true); // none of ours to judge
    };
    // Of a path that is not all printable ASCII, which is escaped or hashed there: it is
    // kept rather than guessed at.
    if path.contains('%') {
        return Ok(true);
    }
    for path in stems(path).filter_map(RepoPath::new) {
        let entry = read::file(view, repo, &path)?;
        if entry.as_ref().and_then(FileEntry::key) == Some(key) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A text, and what is left of it without its last suffix, its last two, ….
fn stems(text: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(text), |text| Some(text.rsplit_once('.')?.0))
}

/// Whether files may be added whose keys were put since `looked` was read.
pub(super) fn check_looked(view: &dyn View, repo: RepoId, looked: Version) -> Result<(), Halt> {
    if read::forgotten(view, repo)? == looked {
        Ok(())
    } else {
        Err(Refusal::Forgotten.into())
    }
}

/// Whether any of these files has a condemned key.
pub(super) fn check_adds(view: &dyn View, repo: RepoId, adds: &[FileAdd]) -> Result<(), Halt> {
    for add in adds {
        if let Place::Stored { key } = &add.entry.place
            && read::is_condemned(view, repo, key)?
        {
            return Err(Refusal::Condemned { key: key.clone() }.into());
        }
    }
    Ok(())
}

/// Notes what was deleted, and forgets what was deleted long enough ago.
pub(super) fn bury(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    repo: RepoId,
    deleted: &[String],
    forget: &[String],
) -> Result<(), Halt> {
    for key in deleted {
        let row = keys::condemned(repo, key);
        if let Some(known) = load::<CondemnedKey>(overlay, Table::Trash, &row)? {
            let deleted = Some(context.time);
            overlay.put(Table::Trash, row, &CondemnedKey { deleted, ..known });
        }
    }
    let mut forgotten = false;
    for key in forget {
        let row = keys::condemned(repo, key);
        let known: Option<CondemnedKey> = load(overlay, Table::Trash, &row)?;
        if known.is_some_and(|known| is_cold(&known, context.time)) {
            overlay.delete(Table::Trash, row);
            forgotten = true;
        }
    }
    if forgotten {
        overlay.put(Table::Trash, keys::forgotten(repo), &context.version);
    }
    Ok(())
}

/// Whether a key was deleted so long ago that no request for it is under way.
fn is_cold(known: &CondemnedKey, now: Timestamp) -> bool {
    let cold = |deleted: Timestamp| SystemTime::from(deleted) + QUARANTINE <= SystemTime::from(now);
    known.deleted.is_some_and(cold)
}

/// Takes a repository out of the trash, into the hands of gc.
pub(super) fn condemn_repo(
    overlay: &mut Overlay<'_>,
    id: RepoId,
    version: Version,
) -> Result<(), Halt> {
    let row = keys::trashed_repo(id);
    let trashed: Option<TrashedRepo> = load(overlay, Table::Trash, &row)?;
    let trashed = trashed.filter(|trashed| trashed.version == version);
    let trashed = trashed.ok_or(Refusal::NotInTrash(id))?;
    overlay.delete(Table::Trash, row);
    overlay.put(Table::Trash, keys::condemned_repo(id), &trashed);
    Ok(())
}

/// Forgets every row of a condemned repository.
pub(super) fn purge_repo(overlay: &mut Overlay<'_>, id: RepoId) -> Result<(), Halt> {
    if overlay
        .get(Table::Trash, &keys::condemned_repo(id))?
        .is_none()
    {
        return Err(Refusal::NotInTrash(id).into());
    }
    for table in [
        Table::Refs,
        Table::Packed,
        Table::Catalog,
        Table::Blocks,
        Table::Audit,
    ] {
        overlay.clear(table, keys::whole_repo(id))?;
    }
    for prefix in [keys::trashed_files(id), keys::all_condemned(id)] {
        overlay.clear(Table::Trash, KeyRange::prefix(&prefix))?;
    }
    import::forget(overlay, id)?;
    overlay.delete(Table::Trash, keys::forgotten(id));
    overlay.delete(Table::Trash, keys::condemned_repo(id));
    Ok(())
}
