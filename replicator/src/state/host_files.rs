//! The files of hosts in a commit: how much there may be of them, and what is on record.
//!
//! They move no ref: what a removal of objects was concluded from stands, and quotas do not count them.
//!
//! What `rm -rf` removes of a repository piece by piece comes back with it: the trash keeps the last of each name, no
//! more than a repository may have of them all. Beyond that those go that were written first.

use super::apply::Halt;
use super::audit::{AuditEvent, RefMove};
use super::value::RefValue;
use super::view::{KeyRange, Step, View, decode};
use super::{Overlay, ReadError, Table, keys, read};
use crate::model::{Change, RefEdit, RefEntry, Refusal, Repo, RepoId, host_file};

/// Whether the repository adds the names that edits give a value.
pub(super) fn check_added(repo: &Repo, edits: &[RefEdit]) -> Result<(), Halt> {
    let written = edits.iter().filter(|edit| edit.change.writes());
    for RefEdit { name, .. } in written.filter(|edit| host_file::may_be_added(&edit.name)) {
        if !host_file::added_by(repo).any(|added| added == *name) {
            let why = format!("{name} is not in the setting {}", host_file::ADDED);
            return Err(Refusal::NotPermitted(why).into());
        }
    }
    Ok(())
}

/// Whether a setting may have another value: a file whose name is not added any more would be seen by nobody.
pub(super) fn check_setting(
    view: &dyn View,
    id: RepoId,
    (key, new): (&str, Option<&str>),
) -> Result<(), Halt> {
    let repo = match key == host_file::ADDED {
        true => read::repo(view, id)?,
        false => None,
    };
    let stays: Vec<_> = host_file::added(new).collect();
    let old = repo.iter().flat_map(host_file::added_by);
    for name in old.filter(|name| !stays.contains(name)) {
        if read::reference(view, id, &name)?.is_some() {
            let why = format!("{name} is in the repository: remove the file first");
            return Err(Refusal::NotPermitted(why).into());
        }
    }
    Ok(())
}

/// Bytes of all of a repository, with their names; 0 where edits concern none.
pub(super) fn size_for(view: &dyn View, repo: RepoId, edits: &[RefEdit]) -> Result<u64, ReadError> {
    match edits.iter().any(|edit| host_file::may_be_one(&edit.name)) {
        true => size(view, repo),
        false => Ok(0),
    }
}

fn size(view: &dyn View, repo: RepoId) -> Result<u64, ReadError> {
    let files = read::host_files(view, repo)?.into_iter();
    let sizes = files.map(|(path, entry)| path.as_bytes().len() + entry.value.len());
    Ok(sizes.sum::<usize>() as u64)
}

/// Whether there may be as many as there are after the edits. Less than before is never refused.
pub(super) fn check_size(
    view: &dyn View,
    repo: RepoId,
    edits: &[RefEdit],
    before: u64,
) -> Result<(), Halt> {
    let would_be = size_for(view, repo, edits)?;
    match would_be <= host_file::MOST || would_be <= before {
        true => Ok(()),
        false => Err(Refusal::HostFilesTooLarge { would_be }.into()),
    }
}

/// Before the edits are made: keeps what they remove, and forgets what they replace.
pub(super) fn keep_removed(
    overlay: &mut Overlay<'_>,
    repo: RepoId,
    edits: &[RefEdit],
) -> Result<(), ReadError> {
    let mut any = false;
    for edit in edits
        .iter()
        .filter(|edit| host_file::may_be_one(&edit.name))
    {
        let row = keys::removed_host_file(repo, &edit.name);
        let old = read::reference(overlay, repo, &edit.name)?;
        match (&edit.change, old) {
            (Change::Delete, Some(old)) => {
                overlay.put(Table::Trash, row, &old);
                any = true;
            }
            (Change::Set { .. }, _) if overlay.get(Table::Trash, &row)?.is_some() => {
                overlay.delete(Table::Trash, row);
            }
            (_, _) => {}
        }
    }
    match any {
        true => forget_oldest(overlay, repo),
        false => Ok(()),
    }
}

fn forget_oldest(overlay: &mut Overlay<'_>, repo: RepoId) -> Result<(), ReadError> {
    let mut kept = Vec::new();
    let range = KeyRange::prefix(&keys::removed_host_files(repo));
    overlay.scan(Table::Trash, &range, &mut |row, value| {
        let entry: RefEntry = decode(Table::Trash, row, value)?;
        kept.push((
            entry.version,
            (row.len() + entry.value.len()) as u64,
            row.to_vec(),
        ));
        Ok(Step::Next)
    })?;
    kept.sort_unstable();
    let mut left = host_file::MOST;
    for (_, bytes, row) in kept.into_iter().rev() {
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => {
                left = 0;
                overlay.delete(Table::Trash, row);
            }
        }
    }
    Ok(())
}

/// Refs that moved, and files of hosts that changed.
pub(super) fn apart(moved: Vec<RefMove>) -> (Vec<RefMove>, Vec<RefMove>) {
    let is_ref = |moved: &RefMove| !host_file::may_be_one(&moved.name);
    moved.into_iter().partition(is_ref)
}

/// The event of files that changed. That git's own template comes is none: it says nothing of the repository.
pub(super) fn event(mut changed: Vec<RefMove>) -> Option<AuditEvent> {
    changed.retain(|changed| !is_template(changed));
    (!changed.is_empty()).then_some(AuditEvent::HostFilesChanged(changed))
}

fn is_template(changed: &RefMove) -> bool {
    match (&changed.old, &changed.new) {
        (RefValue::Absent, RefValue::Text(text)) => host_file::is_template(&changed.name, text),
        _ => false,
    }
}
