//! Shared keys: keys of one repository that others name.
//!
//! A key lies under the prefix of the repository that it was made for, its owner. A fork begins with the files of
//! its parent, a borrower gets files of its lender ([`super::borrow`]), and so both name keys of the other, and of the
//! repositories whose keys that one shares in turn. Each such key has a row under the owner's id, which is there for
//! as long as catalog or trash of the sharer names the key. Then
//!
//! - a key gets a tombstone, under its owner, only when neither the owner nor a sharer names it;
//! - a key comes to be shared only with a fork or a borrower, by a repository whose catalog names it at that moment,
//!   so that a key that nobody names is never shared;
//! - a sharer that releases a key puts a tombstone on it, if it was the last to name it;
//! - an owner that is purged stays, empty, as long as any of its keys is shared.

use super::view::{KeyRange, Step, View, any_in};
use super::{Overlay, ReadError, Table, keys};
use crate::model::{FileEntry, RepoId};
use std::collections::BTreeSet;

/// The owner of a key, if that is another repository.
pub(super) fn other_owner(repo: RepoId, key: &str) -> Option<RepoId> {
    let (owner, _) = key.split_once('/')?;
    owner.parse().ok().filter(|owner| *owner != repo)
}

/// Notes that a repository names a file's key, if it is another's.
pub(super) fn share(overlay: &mut Overlay<'_>, repo: RepoId, file: &FileEntry) {
    if let Some(key) = file.key()
        && let Some(owner) = other_owner(repo, key)
    {
        overlay.put(Table::Trash, keys::shared_key(owner, key, repo), &());
    }
}

/// Whether a repository may name a key of another.
pub(super) fn may_name(
    view: &dyn View,
    owner: RepoId,
    key: &str,
    repo: RepoId,
) -> Result<bool, ReadError> {
    let row = view.get(Table::Trash, &keys::shared_key(owner, key, repo))?;
    Ok(row.is_some())
}

/// Whether any repository but its owner names a key.
pub(super) fn is_shared(view: &dyn View, owner: RepoId, key: &str) -> Result<bool, ReadError> {
    let range = KeyRange::prefix(&keys::sharers(owner, key));
    any_in(view, Table::Trash, &range)
}

/// Whether any key of a repository is shared.
pub(super) fn any_of(view: &dyn View, owner: RepoId) -> Result<bool, ReadError> {
    any_in(
        view,
        Table::Trash,
        &KeyRange::prefix(&keys::shared_keys(owner)),
    )
}

/// The keys of a repository that others name.
pub(super) fn all_of(view: &dyn View, owner: RepoId) -> Result<BTreeSet<String>, ReadError> {
    let prefix = keys::shared_keys(owner);
    let mut shared = BTreeSet::new();
    view.scan(Table::Trash, &KeyRange::prefix(&prefix), &mut |row, _| {
        let key = row[prefix.len()..].split(|byte| *byte == 0).next();
        let key = key.and_then(|key| std::str::from_utf8(key).ok());
        let key = key.ok_or_else(|| ReadError::Damaged("a shared key".to_owned()))?;
        shared.insert(key.to_owned());
        Ok(Step::Next)
    })?;
    Ok(shared)
}
