//! The stack of a reftable repository: tables, and `tables.list`, which names those that count.
//!
//! git gives a table its name, then the list its new content; afterwards it removes the tables that the list
//! no longer names, or the new ones when the list's rename failed. A rename that failed on a
//! disk did nothing. Here it may also be that nobody knows yet (no quorum answered, git was
//! interrupted), and a list that is committed after all must not name what git has cleared
//! away meanwhile. So a list expects its tables to be there, the removal of such a table
//! expects the list to be as it was, and whichever of the two comes second is refused.

use super::CHUNK;
use super::locked::Locks;
use super::values::Values;
use crate::error::{FsError, FsResult};
use crate::failpoint;
use crate::repository::transaction::Author;
use gitmoor_model::room::is_table;
use gitmoor_model::{Change, Expect, RefEdit, RefEntry, RepoChange, RepoPath, Version};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;

pub(super) const LIST: &[u8] = b"reftable/tables.list";

pub(super) struct Tables {
    values: Arc<Values>,
    locks: Arc<Locks>,
    /// Tables of lists of which nobody knows whether they are committed.
    uncertain: Mutex<HashSet<RepoPath>>,
}

impl Tables {
    pub(super) fn new(values: Arc<Values>, locks: Arc<Locks>) -> Self {
        Self {
            values,
            locks,
            uncertain: Mutex::default(),
        }
    }

    /// Writes `tables.list` as git does, who has locked it: the tables that it named and does not
    /// name any more go in the same commit. git would remove them next.
    pub(super) fn replace_list(
        &self,
        list: &RepoPath,
        mode: u32,
        value: Vec<u8>,
        expect: Expect,
        by: &Author,
    ) -> FsResult<Version> {
        let was = self.values.get(list)?;
        let named = was.map_or(Vec::new(), |was| listed(&was.value));
        self.commit_list(list, (mode, value), expect, named, by)
    }

    /// Writes `tables.list` in place, as any file: what it does not name stays where it is.
    pub(super) fn write_list(
        &self,
        list: &RepoPath,
        mode: u32,
        value: Vec<u8>,
        expect: Expect,
        by: &Author,
    ) -> FsResult<Version> {
        self.commit_list(list, (mode, value), expect, Vec::new(), by)
    }

    /// After everything that the list may refer to is stored. `replaced` goes, as far as the list does
    /// not name it; but only for a list of tables that are there.
    fn commit_list(
        &self,
        list: &RepoPath,
        (mode, value): (u32, Vec<u8>),
        expect: Expect,
        replaced: Vec<RepoPath>,
        by: &Author,
    ) -> FsResult<Version> {
        let mut change = RepoChange::new(self.values.repo);
        let listed = listed(&value);
        for path in &listed {
            if let Some(table) = self.values.get(path)? {
                change.refs.push(unchanged(path, Some(&table)));
            }
        }
        let is_whole = !listed.is_empty() && change.refs.len() == listed.len();
        let gone = |table: &RepoPath| is_whole && !listed.contains(table);
        change
            .refs
            .extend(replaced.into_iter().filter(gone).map(|name| RefEdit {
                name,
                expect: Expect::Anything,
                change: Change::Delete,
            }));
        change.refs.push(RefEdit {
            name: list.clone(),
            expect,
            change: Change::Set { mode, value },
        });
        let version = self.values.commit(change, by).inspect_err(|_| {
            self.uncertain.lock().extend(listed.iter().cloned());
        })?;
        self.locks.wrote_past(list, Expect::Is(version));
        failpoint::REF_WRITTEN.hit();
        Ok(version)
    }

    /// Writes a big value, which is a table: nothing reads it before it is listed.
    pub(super) fn write_table(
        &self,
        name: &RepoPath,
        mode: u32,
        value: &[u8],
        mut expect: Expect,
        by: &Author,
    ) -> FsResult<Version> {
        let mut version = Version::default();
        for (i, piece) in value.chunks(CHUNK).enumerate() {
            let value = piece.to_vec();
            let change = match i {
                0 => Change::Set { mode, value },
                _ => Change::Append { value },
            };
            let edit = RefEdit {
                name: name.clone(),
                expect,
                change,
            };
            let change = RepoChange {
                refs: vec![edit],
                ..RepoChange::new(self.values.repo)
            };
            version = self.values.commit(change, by)?;
            expect = Expect::Is(version);
        }
        Ok(version)
    }

    /// What a removal of a name expects besides: of a table that a list may yet name, that the list stays what it is
    /// now. An error when it names the table already.
    pub(super) fn unless_listed(&self, path: &RepoPath) -> FsResult<Option<RefEdit>> {
        if !self.uncertain.lock().contains(path) {
            return Ok(None);
        }
        self.values.shared.freshness.sync_reads()?;
        let name = RepoPath::new(LIST).expect("a valid path");
        let list = self.values.get(&name)?;
        if list
            .as_ref()
            .is_some_and(|list| listed(&list.value).contains(path))
        {
            return Err(FsError::Listed {
                path: path.to_string(),
            });
        }
        Ok(Some(unchanged(&name, list.as_ref())))
    }

    /// Nothing stands under the name any more.
    pub(super) fn removed(&self, path: &RepoPath) {
        self.uncertain.lock().remove(path);
    }
}

/// Whether a path is that of a finished reftable.
pub(super) fn is_table_file(path: &RepoPath) -> bool {
    path.as_bytes().starts_with(b"reftable/") && is_table(path.file_name())
}

/// The tables of a list.
fn listed(list: &[u8]) -> Vec<RepoPath> {
    let dir = RepoPath::new("reftable").expect("a valid path");
    let names = list.split(|&b| b == b'\n').filter(|name| is_table(name));
    names.filter_map(|name| dir.join(name)).collect()
}

/// Refuses the whole change when this has changed by then.
fn unchanged(name: &RepoPath, now: Option<&RefEntry>) -> RefEdit {
    RefEdit {
        name: name.clone(),
        expect: now.map_or(Expect::Absent, |now| Expect::Is(now.version)),
        change: Change::Keep,
    }
}
