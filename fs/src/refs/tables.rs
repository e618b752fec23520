//! The stack of a reftable repository: tables, and `tables.list`, which names those that count.
//!
//! git gives a table its name, then the list its new content; afterwards it removes the tables that the list
//! no longer names, or the new ones when the list's rename failed. A rename that failed on a
//! disk did nothing. Here it may also be that nobody knows yet (no quorum answered, git was
//! interrupted), and a list that is committed after all must not name what git has cleared
//! away meanwhile. So a list expects its tables to be there, the removal of such a table
//! expects the list to be as it was, and whichever of the two comes second is refused.

use super::{CHUNK, Refs};
use crate::error::{FsError, FsResult};
use crate::failpoint;
use crate::repository::room::is_table;
use gitmoor_replicator::model::{
    Actor, Change, Expect, RefEdit, RefEntry, RepoChange, RepoPath, Version,
};
use std::os::unix::fs::MetadataExt;

pub(super) const LIST: &[u8] = b"reftable/tables.list";

impl Refs {
    /// Writes `tables.list`, after everything it may refer to is stored.
    pub(super) fn write_list(
        &self,
        list: &RepoPath,
        mode: u32,
        value: Vec<u8>,
        expect: Expect,
        actor: &Actor,
    ) -> FsResult<Version> {
        let mut change = RepoChange::new(self.repo);
        let listed = listed(&value);
        let fresh = self.table_edits(&listed, &mut change.refs, actor)?;
        change.refs.push(RefEdit {
            name: list.clone(),
            expect,
            change: Change::Set { mode, value },
        });
        let version = self.commit(change, actor).inspect_err(|_| {
            self.uncertain.lock().extend(listed.iter().cloned());
        })?;
        self.wrote_past_lock(list, Expect::Is(version));
        failpoint::REF_WRITTEN.hit();
        fresh.iter().for_each(|table| self.clean_up(table));
        Ok(version)
    }

    /// Tables that the list names go up with it where they are real files still, and must be there where they are
    /// replicated; those that it does not name go. Returns the real files that are replicated by it.
    fn table_edits(
        &self,
        listed: &[RepoPath],
        edits: &mut Vec<RefEdit>,
        actor: &Actor,
    ) -> FsResult<Vec<RepoPath>> {
        let replica = &self.shared.replica;
        let mut fresh = Vec::new();
        for path in listed {
            if let Some(meta) = self.files.stat(path)? {
                let value = self.files.read(path)?.ok_or(FsError::NotFound)?;
                self.table_pieces(path, meta.mode(), value, edits, actor)?;
                fresh.push(path.clone());
            } else if let Some(table) = replica.reference(self.repo, path)? {
                edits.push(unchanged(path, Some(&table)));
            }
        }
        let dir = RepoPath::new("reftable").expect("a valid path");
        for (name, _) in replica.references_in(self.repo, &dir)? {
            let gone = |path: &RepoPath| is_table(&name) && !listed.contains(path);
            if let Some(name) = dir.join(&name).filter(gone) {
                edits.push(RefEdit {
                    name,
                    expect: Expect::Anything,
                    change: Change::Delete,
                });
            }
        }
        Ok(fresh)
    }

    /// A big table goes ahead in pieces: nothing reads it before it is listed.
    fn table_pieces(
        &self,
        path: &RepoPath,
        mode: u32,
        value: Vec<u8>,
        edits: &mut Vec<RefEdit>,
        actor: &Actor,
    ) -> FsResult<()> {
        let edit = |change| RefEdit {
            name: path.clone(),
            expect: Expect::Anything,
            change,
        };
        if value.len() <= CHUNK {
            edits.push(edit(Change::Set { mode, value }));
            return Ok(());
        }
        for (i, piece) in value.chunks(CHUNK).enumerate() {
            let value = piece.to_vec();
            let change = if i == 0 {
                Change::Set { mode, value }
            } else {
                Change::Append { value }
            };
            self.commit(
                RepoChange {
                    refs: vec![edit(change)],
                    ..RepoChange::new(self.repo)
                },
                actor,
            )?;
        }
        Ok(())
    }

    /// What a removal of a name expects besides: of a table that a list may yet name, that the list stays what it is
    /// now. An error when it names the table already.
    pub(super) fn unless_listed(&self, path: &RepoPath) -> FsResult<Option<RefEdit>> {
        if !self.uncertain.lock().contains(path) {
            return Ok(None);
        }
        self.shared.fresh.refresh()?;
        let name = RepoPath::new(LIST).expect("a valid path");
        let list = self.shared.replica.reference(self.repo, &name)?;
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
