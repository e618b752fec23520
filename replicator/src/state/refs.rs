//! The refs half of a commit: the loose layer and the packed table.
//!
//! Both layers are edited first, on the command's own overlay; then the result
//! is judged. That makes "all or nothing" a matter of dropping the overlay, and
//! lets one commit turn `a` into `a/b`.

use super::apply::{Context, Halt};
use super::audit::RefMove;
use super::value::RefValue;
use super::view::{KeyRange, Step, View};
use super::{Overlay, ReadError, Table, keys, read};
use crate::model::{
    Change, Expect, PACKED_REFS, PackedEdit, RefEdit, RefEntry, Refusal, Repo, RepoChange, RepoId,
    RepoPath,
};
use std::collections::BTreeMap;

/// Mode of an entry that an append creates: a read-only regular file, as git
/// makes its reftables.
const READ_ONLY_FILE: u32 = 0o100_444;
const PERMISSIONS: u32 = 0o7777;

/// Checks what the edits expect against the state before any of them.
pub(super) fn check_expectations(
    view: &dyn View,
    repo: &Repo,
    edits: &[RefEdit],
) -> Result<(), Halt> {
    for edit in edits {
        if edit.expect == Expect::Anything {
            continue;
        }
        let entry = read::reference(view, repo.id, &edit.name)?;
        let actual = entry.map(|entry| entry.version).or_else(|| {
            let is_table = edit.name.as_bytes() == PACKED_REFS;
            is_table.then_some(repo.packed_version)
        });
        let holds = match edit.expect {
            Expect::Anything => true,
            Expect::Absent => actual.is_none(),
            Expect::Is(version) => actual == Some(version),
        };
        if !holds {
            return Err(Refusal::RefMoved {
                name: edit.name.clone(),
                actual,
            }
            .into());
        }
    }
    Ok(())
}

/// Makes the edits of the loose layer, in order.
pub(super) fn edit_loose(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    repo: RepoId,
    edits: &[RefEdit],
) -> Result<(), ReadError> {
    for edit in edits.iter().filter(|edit| edit.change != Change::Keep) {
        let key = keys::in_repo(repo, &edit.name);
        let old = read::reference(overlay, repo, &edit.name)?;
        match edited(old, &edit.change, context) {
            Some(entry) => overlay.put(Table::Refs, key, &entry),
            None => overlay.delete(Table::Refs, key),
        }
    }
    Ok(())
}

/// An entry after a change; `None` when it is absent then.
fn edited(old: Option<RefEntry>, change: &Change, context: Context<'_>) -> Option<RefEntry> {
    let written = |mode, value| RefEntry {
        mode,
        value,
        mtime: context.time,
        version: context.version,
    };
    match (change, old) {
        (Change::Set { mode, value }, _) => Some(written(*mode, value.clone())),
        (Change::Append { value }, None) => Some(written(READ_ONLY_FILE, value.clone())),
        (Change::Append { value }, Some(old)) => {
            Some(written(old.mode, [old.value, value.clone()].concat()))
        }
        // chmod(2) leaves the modification time alone.
        (Change::SetMode { mode }, Some(old)) => Some(RefEntry {
            version: context.version,
            ..permitted(old, *mode)
        }),
        (Change::Chmod { mode }, Some(old)) => Some(permitted(old, *mode)),
        (Change::Keep, old) => old,
        (Change::SetMode { .. } | Change::Chmod { .. }, None) | (Change::Delete, _) => None,
    }
}

fn permitted(old: RefEntry, mode: u32) -> RefEntry {
    let mode = (old.mode & !PERMISSIONS) | (mode & PERMISSIONS);
    RefEntry { mode, ..old }
}

/// Checks that no written ref is both a file and a directory after the edits.
/// Only beneath `refs/`: elsewhere the file system knows the directories.
pub(super) fn check_directories(
    view: &dyn View,
    repo: RepoId,
    edits: &[RefEdit],
) -> Result<(), Halt> {
    for edit in edits {
        if !edit.name.as_bytes().starts_with(b"refs/")
            || read::reference(view, repo, &edit.name)?.is_none()
        {
            continue;
        }
        if let Some(with) = in_the_way(view, repo, &edit.name)? {
            return Err(Refusal::DirectoryConflict {
                name: edit.name.clone(),
                with,
            }
            .into());
        }
    }
    Ok(())
}

/// An entry above or beneath `name`.
fn in_the_way(
    view: &dyn View,
    repo: RepoId,
    name: &RepoPath,
) -> Result<Option<RepoPath>, ReadError> {
    let above = std::iter::successors(name.parent(), RepoPath::parent);
    for dir in above.take_while(|dir| !dir.is_root()) {
        if read::reference(view, repo, &dir)?.is_some() {
            return Ok(Some(dir));
        }
    }
    first_beneath(view, repo, name)
}

fn first_beneath(
    view: &dyn View,
    repo: RepoId,
    dir: &RepoPath,
) -> Result<Option<RepoPath>, ReadError> {
    let mut first = None;
    view.scan(
        Table::Refs,
        &KeyRange::prefix(&keys::beneath(repo, dir)),
        &mut |key, _| {
            first = Some(path_of(key)?);
            Ok(Step::Stop)
        },
    )?;
    Ok(first)
}

/// Makes the edits of the packed table, in order.
pub(super) fn edit_packed(
    overlay: &mut Overlay<'_>,
    repo: RepoId,
    edits: &[PackedEdit],
) -> Result<(), ReadError> {
    for edit in edits {
        match edit {
            PackedEdit::Clear => overlay.clear(Table::Packed, keys::whole_repo(repo))?,
            PackedEdit::Set { name, line } => {
                overlay.put(Table::Packed, keys::in_repo(repo, name), line);
            }
            PackedEdit::Delete { name } => {
                overlay.delete(Table::Packed, keys::in_repo(repo, name));
            }
        }
    }
    Ok(())
}

/// Where every name that a change could move points.
pub(super) struct Before(BTreeMap<RepoPath, RefValue>);

impl Before {
    /// Takes the values before the change is made.
    pub(super) fn of(view: &dyn View, change: &RepoChange) -> Result<Self, ReadError> {
        let mut values = BTreeMap::new();
        for name in touched(view, change)? {
            let value = RefValue::of(view, change.repo, &name)?;
            values.insert(name, value);
        }
        Ok(Self(values))
    }

    /// The names that point elsewhere after the change, with both values. A ref
    /// that went from loose to packed with the same value is not among them.
    pub(super) fn moved(self, view: &dyn View, repo: RepoId) -> Result<Vec<RefMove>, ReadError> {
        let mut moved = Vec::new();
        for (name, old) in self.0 {
            let new = RefValue::of(view, repo, &name)?;
            if old != new || always_moves(&name, &new) {
                moved.push(RefMove { name, old, new });
            }
        }
        Ok(moved)
    }
}

/// Refs inside a reftable cannot be told apart from here, so whoever writes
/// anything of `reftable/` may have moved one.
fn always_moves(name: &RepoPath, new: &RefValue) -> bool {
    name.as_bytes().starts_with(b"reftable/") && *new != RefValue::Absent
}

/// The names whose value a change could move.
fn touched(view: &dyn View, change: &RepoChange) -> Result<Vec<RepoPath>, ReadError> {
    let edits = change
        .refs
        .iter()
        .filter(|edit| edit.change != Change::Keep);
    let mut names: Vec<_> = edits.map(|edit| edit.name.clone()).collect();
    for edit in &change.packed {
        match edit {
            PackedEdit::Set { name, .. } | PackedEdit::Delete { name } => names.push(name.clone()),
            PackedEdit::Clear => names.extend(packed_names(view, change.repo)?),
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn packed_names(view: &dyn View, repo: RepoId) -> Result<Vec<RepoPath>, ReadError> {
    let mut names = Vec::new();
    view.scan(Table::Packed, &keys::whole_repo(repo), &mut |key, _| {
        names.push(path_of(key)?);
        Ok(Step::Next)
    })?;
    Ok(names)
}

fn path_of(key: &[u8]) -> Result<RepoPath, ReadError> {
    RepoPath::new(&key[keys::ID..])
        .ok_or_else(|| ReadError::Damaged(format!("the path in key {}", key.escape_ascii())))
}
