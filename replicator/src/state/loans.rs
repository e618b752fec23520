//! Keys that forks name of others.
//!
//! A key lies under the prefix of the repository that it was made for, its owner. A fork begins with
//! the files of its parent, and so names keys of that, and of those that it has borrowed from in turn. Each is a *loan*: a row under the
//! owner's id, which is there for as long as catalog or trash of the borrower names the key. Then
//!
//! - a key is condemned, under its owner, only when the owner does not name it and it is not on loan;
//! - a loan comes only with a fork, from who named the key before, so that what nobody names is never lent;
//! - a loan that ends condemns the key, if that was the last to name it;
//! - an owner that is purged stays, empty, as long as anything of it is on loan.

use super::view::{KeyRange, Step, View, any_in};
use super::{Overlay, ReadError, Table, keys};
use crate::model::{FileEntry, RepoId};
use std::collections::BTreeSet;

/// The owner of a key, if that is another repository.
pub(super) fn lender(repo: RepoId, key: &str) -> Option<RepoId> {
    let (owner, _) = key.split_once('/')?;
    owner.parse().ok().filter(|owner| *owner != repo)
}

/// Notes that a repository names a file's key, if it is another's.
pub(super) fn take(overlay: &mut Overlay<'_>, repo: RepoId, file: &FileEntry) {
    if let Some(key) = file.key()
        && let Some(owner) = lender(repo, key)
    {
        overlay.put(Table::Trash, keys::loan(owner, key, repo), &());
    }
}

/// Whether a repository may name a key of another.
pub(super) fn has(
    view: &dyn View,
    owner: RepoId,
    key: &str,
    repo: RepoId,
) -> Result<bool, ReadError> {
    let row = view.get(Table::Trash, &keys::loan(owner, key, repo))?;
    Ok(row.is_some())
}

/// Whether any repository but its owner names a key.
pub(super) fn is_lent(view: &dyn View, owner: RepoId, key: &str) -> Result<bool, ReadError> {
    let range = KeyRange::prefix(&keys::loans_of(owner, key));
    any_in(view, Table::Trash, &range)
}

/// Whether any key of a repository is on loan.
pub(super) fn any_of(view: &dyn View, owner: RepoId) -> Result<bool, ReadError> {
    any_in(view, Table::Trash, &KeyRange::prefix(&keys::loans(owner)))
}

/// The keys of a repository that others name.
pub(super) fn all_of(view: &dyn View, owner: RepoId) -> Result<BTreeSet<String>, ReadError> {
    let prefix = keys::loans(owner);
    let mut lent = BTreeSet::new();
    view.scan(Table::Trash, &KeyRange::prefix(&prefix), &mut |row, _| {
        let key = row[prefix.len()..].split(|byte| *byte == 0).next();
        let key = key.and_then(|key| std::str::from_utf8(key).ok());
        let key = key.ok_or_else(|| ReadError::Damaged("the key of a loan".to_owned()))?;
        lent.insert(key.to_owned());
        Ok(Step::Next)
    })?;
    Ok(lent)
}
