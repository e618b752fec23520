//! The way out of the trash for good: a key gets a tombstone, its bytes are deleted, the tombstone expires.
//!
//! The same object pushed anew has the same key, so a key may be named again at
//! any moment, also by a publisher that has just found its bytes in the store while
//! somebody is about to delete them. What keeps the two apart is here:
//!
//! 1. A key gets a tombstone only by a command, and only while neither the catalog
//!    nor the trash of any repository names it ([`super::shared_keys`]).
//! 2. No command names a key that has a tombstone ([`check_adds`]).
//! 3. Bytes are deleted only while their key has a tombstone, and the tombstone expires
//!    no earlier than [`KEY_REUSE_DELAY`] after that.
//! 4. A publisher reads [`tombstones_as_of`](read::tombstones_as_of) before it puts its first key, and its
//!    [`Publish`](crate::model::Command::Publish) is refused if that has changed.
//!
//! So when a publication succeeds, none of its keys had a tombstone at any moment
//! since it began: by 2 none has one now, and by 4 none expired in between. By 3
//! nothing of it was deleted since then, and from now on the catalog names it,
//! so that by 1 it gets no tombstone. No interleaving loses bytes.

use super::apply::{Context, Halt};
use super::audit::{self, AuditEvent};
use super::trash::{TrashedFile, TrashedRepo};
use super::view::{KeyRange, Step, View, decode, load};
use super::{Overlay, ReadError, Table, access, import, keys, nest, read, shared_keys};
use crate::model::{
    Deletions, FileAdd, FileEntry, KEY_REUSE_DELAY, Place, Refusal, Repo, RepoId, RepoPath,
    Timestamp, TrashId, Version,
};
use serde::{Deserialize, Serialize};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

/// The mark on a key of the store that nobody may name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tombstone {
    /// Key in the object store.
    pub key: String,
    /// When the tombstone was put.
    pub since: Timestamp,
    /// When its bytes were known to be deleted; `None` before that.
    pub deleted: Option<Timestamp>,
}

/// Puts tombstones on the keys of expired files and of leftovers, as far as nobody names them.
pub(super) fn mark_deleted(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    deletions: &Deletions,
) -> Result<(), Halt> {
    let repo = deletions.repo;
    let mut unneeded: BTreeSet<_> = deletions.leftovers.iter().cloned().collect();
    let mut expired = Vec::new();
    for id in &deletions.expired {
        expired.extend(take(overlay, repo, id)?);
    }
    note_expired(overlay, repo, &expired)?;
    record_expired(overlay, context, repo, expired.len() as u64)?;
    unneeded.extend(expired.into_iter().filter_map(stored_key));
    let mut named = NamedKeys::default();
    for key in unneeded {
        match shared_keys::other_owner(repo, &key) {
            None => mark_unnamed(overlay, context, &mut named, repo, key)?,
            Some(owner) if !named.by(overlay, repo, &key)? => {
                release(overlay, context, &mut named, (owner, repo), key)?;
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Who names what, within one command, after its rows left the trash.
#[derive(Default)]
struct NamedKeys {
    /// The keys that the trash of a repository names.
    trashed: BTreeMap<RepoId, BTreeSet<String>>,
}

impl NamedKeys {
    fn by(&mut self, view: &dyn View, repo: RepoId, key: &str) -> Result<bool, ReadError> {
        if let Entry::Vacant(unknown) = self.trashed.entry(repo) {
            unknown.insert(trashed_keys(view, repo)?);
        }
        Ok(self.trashed[&repo].contains(key) || is_catalogued(view, repo, key)?)
    }
}

/// Puts a tombstone on a key, under its owner, unless somebody names the key.
fn mark_unnamed(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    named: &mut NamedKeys,
    owner: RepoId,
    key: String,
) -> Result<(), ReadError> {
    let row = keys::tombstone(owner, &key);
    let known = overlay.get(Table::Trash, &row)?.is_some();
    if known || shared_keys::is_shared(overlay, owner, &key)? || named.by(overlay, owner, &key)? {
        return Ok(());
    }
    let tombstone = Tombstone {
        key,
        since: context.time,
        deleted: None,
    };
    overlay.put(Table::Trash, row, &tombstone);
    Ok(())
}

/// Releases a key of an owner that a sharer does not name any more. Of an owner that has expired
/// everything goes that nobody shares.
fn release(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    named: &mut NamedKeys,
    (owner, sharer): (RepoId, RepoId),
    key: String,
) -> Result<(), ReadError> {
    overlay.delete(Table::Trash, keys::shared_key(owner, &key, sharer));
    let in_trash = overlay.get(Table::Trash, &keys::trashed_repo(owner))?;
    if read::repo(overlay, owner)?.is_none() && in_trash.is_none() {
        return Ok(());
    }
    mark_unnamed(overlay, context, named, owner, key)
}

/// Notes up to which removal files cannot be brought back any more, for a ref change that may need one of
/// them ([`super::trash::check_unpruned`]).
fn note_expired(
    overlay: &mut Overlay<'_>,
    repo: RepoId,
    files: &[TrashedFile],
) -> Result<(), ReadError> {
    let missed = files.iter().filter(|file| !file.superseded);
    let newest = missed.map(|file| file.version).max();
    match newest {
        Some(newest) if newest > read::expired(overlay, repo)? => {
            overlay.put(Table::Trash, keys::expired(repo), &newest);
        }
        Some(_) | None => {}
    }
    Ok(())
}

fn record_expired(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    repo: RepoId,
    files: u64,
) -> Result<(), ReadError> {
    match read::repo(overlay, repo)? {
        Some(repo) if files > 0 => {
            let event = AuditEvent::ObjectsExpired { files };
            audit::of_repo(overlay, context, &repo, [event])
        }
        Some(_) | None => Ok(()),
    }
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

/// Whether the catalog of a repository names a key. A key is its owner's id and the path of
/// the file that it was made for, perhaps with suffixes after a dot; so only the
/// rows of these few paths can name it, also in a fork.
fn is_catalogued(view: &dyn View, repo: RepoId, key: &str) -> Result<bool, ReadError> {
    let path = key
        .split_once('/')
        .filter(|(owner, _)| owner.parse::<RepoId>().is_ok());
    let Some((_, path)) = path else {
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

/// Whether files may be added whose keys were put since `tombstones_as_of` was read.
pub(super) fn check_as_of(
    view: &dyn View,
    repo: RepoId,
    tombstones_as_of: Version,
) -> Result<(), Halt> {
    if read::tombstones_as_of(view, repo)? == tombstones_as_of {
        Ok(())
    } else {
        Err(Refusal::TombstonesExpired.into())
    }
}

/// Whether all of these files have keys that may be named: none that has a tombstone, and of others' those
/// that it shares, which have none.
pub(super) fn check_adds(view: &dyn View, repo: RepoId, adds: &[FileAdd]) -> Result<(), Halt> {
    for add in adds {
        let Place::Stored { key } = &add.entry.place else {
            continue;
        };
        let usable = match shared_keys::other_owner(repo, key) {
            None => !read::has_tombstone(view, repo, key)?,
            Some(owner) => shared_keys::may_name(view, owner, key, repo)?,
        };
        if !usable {
            return Err(Refusal::HasTombstone { key: key.clone() }.into());
        }
    }
    Ok(())
}

/// Notes what was deleted, and lets tombstones expire of what was deleted long enough ago.
pub(super) fn record_deletion(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    repo: RepoId,
    deleted: &[String],
    expire: &[String],
) -> Result<(), Halt> {
    for key in deleted {
        let row = keys::tombstone(repo, key);
        if let Some(known) = load::<Tombstone>(overlay, Table::Trash, &row)? {
            let deleted = Some(context.time);
            overlay.put(Table::Trash, row, &Tombstone { deleted, ..known });
        }
    }
    let mut any_expired = false;
    for key in expire {
        let row = keys::tombstone(repo, key);
        let known: Option<Tombstone> = load(overlay, Table::Trash, &row)?;
        if known.is_some_and(|known| is_cold(&known, context.time)) {
            overlay.delete(Table::Trash, row);
            any_expired = true;
        }
    }
    if any_expired {
        overlay.put(Table::Trash, keys::tombstones_as_of(repo), &context.version);
    }
    Ok(())
}

/// Whether a key was deleted so long ago that no request for it is under way.
fn is_cold(known: &Tombstone, now: Timestamp) -> bool {
    let cold =
        |deleted: Timestamp| SystemTime::from(deleted) + KEY_REUSE_DELAY <= SystemTime::from(now);
    known.deleted.is_some_and(cold)
}

/// Takes a repository out of the trash, with all that went with it from inside it, into the hands of gc.
pub(super) fn expire_repo(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    id: RepoId,
    version: Version,
) -> Result<(), Halt> {
    let trashed: Option<TrashedRepo> = load(overlay, Table::Trash, &keys::trashed_repo(id))?;
    let trashed = trashed.filter(|trashed| trashed.version == version);
    let trashed = trashed.ok_or(Refusal::NotInTrash(id))?;
    let inner = nest::take_gone(overlay, &trashed)?;
    let expired = |repo: &Repo| AuditEvent::Expired {
        path: repo.path.clone(),
    };
    let event = expired(&trashed.repo);
    audit::of_place(overlay, context, &trashed.repo.path, Some(id), event)?;
    for trashed in std::iter::once(trashed).chain(inner) {
        let repo = &trashed.repo;
        overlay.delete(Table::Trash, keys::trashed_repo(repo.id));
        overlay.put(Table::Trash, keys::expired_repo(repo.id), &trashed);
        audit::of_repo(overlay, context, repo, [expired(repo)])?;
    }
    Ok(())
}

/// Forgets every row of an expired repository. It stays, expired, while others share keys of it.
pub(super) fn purge_repo(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    id: RepoId,
) -> Result<(), Halt> {
    let expired = load(overlay, Table::Trash, &keys::expired_repo(id))?;
    let expired: TrashedRepo = expired.ok_or(Refusal::NotInTrash(id))?;
    let shared = shared(overlay, id)?;
    clear(overlay, id)?;
    let mut named = NamedKeys::default();
    for (owner, key) in shared {
        release(overlay, context, &mut named, (owner, id), key)?;
    }
    if shared_keys::any_of(overlay, id)? {
        return Ok(());
    }
    overlay.delete(Table::Trash, keys::expired_repo(id));
    access::forget_repo(overlay, id)?;
    let path = expired.repo.path;
    let event = AuditEvent::Purged { path: path.clone() };
    Ok(audit::of_place(overlay, context, &path, Some(id), event)?)
}

/// The keys of others that a repository names, and their owners.
fn shared(view: &dyn View, repo: RepoId) -> Result<BTreeSet<(RepoId, String)>, ReadError> {
    let mut keys = trashed_keys(view, repo)?;
    view.scan(
        Table::Catalog,
        &keys::whole_repo(repo),
        &mut |row, value| {
            let file: FileEntry = decode(Table::Catalog, row, value)?;
            keys.extend(file.key().map(str::to_owned));
            Ok(Step::Next)
        },
    )?;
    let others = keys.into_iter();
    Ok(others
        .filter_map(|key| Some((shared_keys::other_owner(repo, &key)?, key)))
        .collect())
}

fn clear(overlay: &mut Overlay<'_>, id: RepoId) -> Result<(), ReadError> {
    for table in [
        Table::Refs,
        Table::Packed,
        Table::Catalog,
        Table::Blocks,
        Table::Audit,
        Table::Hooks,
    ] {
        overlay.clear(table, keys::whole_repo(id))?;
    }
    for prefix in [
        keys::trashed_files(id),
        keys::tombstones(id),
        keys::removed_host_files(id),
        keys::all_gone_with(id),
    ] {
        overlay.clear(Table::Trash, KeyRange::prefix(&prefix))?;
    }
    import::forget(overlay, id)?;
    overlay.delete(Table::Trash, keys::tombstones_as_of(id));
    overlay.delete(Table::Trash, keys::expired(id));
    Ok(())
}
