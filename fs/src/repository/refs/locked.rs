//! The locks of refs that this mount has, and what a step that rests on one expects.
//!
//! git reads a ref when it has the ref's lock, decides, and then renames the lock to the ref or unlinks the ref.
//! Nothing but the lock keeps others away in between, and a lock may be lost: of a machine that was frozen for
//! longer than the lease others take it. So a step is refused (ESTALE)
//!
//! - when the lock that it rests on was lost by then ([`Locks::expected`]), whatever has become of the value;
//! - when the loose value is not what it was when the lock was taken;
//! - when the ref had no loose value and its line of `packed-refs` is another ([`Locks::commit`]): somebody
//!   wrote the ref and packed it;
//! - when a loose value is removed under the lock of `packed-refs`, as git does to delete a ref, and `packed-refs` has
//!   moved ([`Locks::packed_stays`]): the line of it would show again;
//! - when a line of `packed-refs` is removed and the loose value that this mount has locked has moved
//!   ([`Locks::unlocked_by`]): a ref that git reports as deleted would stay.
//!
//! All but the first are conditions of the commit itself, so that no time passes between the look and the deed.

use super::values::Values;
use crate::error::{FsError, FsResult};
use crate::repository::transaction::Author;
use gitmoor_model::room::{Room, room};
use gitmoor_model::{
    Change, Expect, PACKED_REFS, PackedEdit, PackedRef, RefEdit, Refusal, RepoChange, RepoPath,
    Version,
};
use gitmoor_store::wait::profile;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// How often a commit looks again because `packed-refs` was rewritten in between, which is rare even once.
const ATTEMPTS: usize = 10;

pub(super) struct Locks {
    values: Arc<Values>,
    /// What a ref was when its lock was taken, by the ref's name.
    noted: Mutex<HashMap<RepoPath, Noted>>,
}

#[derive(Clone)]
struct Noted {
    expect: Expect,
    /// Its line of `packed-refs`, where it had no loose value.
    line: Option<PackedRef>,
}

impl Locks {
    pub(super) fn new(values: Arc<Values>) -> Self {
        Self {
            values,
            noted: Mutex::default(),
        }
    }

    /// Takes the lock of a name from whoever leads, and notes what the lock is of.
    pub(super) fn take(&self, name: &RepoPath) -> FsResult<()> {
        let (repo, shared) = (self.values.repo, &self.values.shared);
        let lock = || shared.replica.lock(repo, name);
        if !profile::timed(|| format!("the lock of {name}"), lock) {
            return Err(FsError::Exists);
        }
        // What others wrote until now is before the lock, not in its way.
        let expect = shared.freshness.sync_reads();
        let expect = expect.and_then(|()| self.values.current(name));
        let expect = expect.and_then(|expect| self.values.check_quota(name, expect));
        let noted = expect.and_then(|expect| self.note(name, expect));
        noted.inspect_err(|_| shared.replica.unlock(repo, name))
    }

    fn note(&self, name: &RepoPath, expect: Expect) -> FsResult<()> {
        let line = match expect {
            Expect::Absent => self.values.line(name)?,
            Expect::Anything | Expect::Is(_) => None,
        };
        let noted = Noted { expect, line };
        self.noted.lock().insert(name.clone(), noted);
        Ok(())
    }

    pub(super) fn release(&self, name: &RepoPath) {
        self.noted.lock().remove(name);
        self.values.shared.replica.unlock(self.values.repo, name);
    }

    /// What a change of a name expects; an error when the lock that this mount has of it was lost.
    pub(super) fn expected(&self, name: &RepoPath) -> FsResult<Expect> {
        let noted = self.noted.lock().get(name).cloned();
        let Values { repo, shared, .. } = &*self.values;
        match noted {
            None => Ok(Expect::Anything),
            Some(_) if shared.replica.lost(*repo, name) => Err(FsError::LockLost {
                name: name.to_string(),
            }),
            Some(noted) => Ok(noted.expect),
        }
    }

    /// Commits a change that gives locked refs values.
    pub(super) fn commit(&self, change: &RepoChange, by: &Author) -> FsResult<Version> {
        let absent = self.absent(&change.refs);
        if absent.is_empty() {
            return self.values.commit(change.clone(), by);
        }
        let mut attempts = 1;
        loop {
            let mut change = change.clone();
            change.refs.push(self.lines_stay(&absent)?);
            match self.values.commit(change, by) {
                Err(FsError::Refused(Refusal::RefMoved { name: moved, .. }))
                    if moved.as_bytes() == PACKED_REFS && attempts < ATTEMPTS =>
                {
                    attempts += 1;
                    self.values.shared.freshness.sync_reads()?;
                }
                committed => return committed,
            }
        }
    }

    /// The refs that get a value and had no loose one when they were locked, with their lines of `packed-refs`.
    fn absent(&self, edits: &[RefEdit]) -> Vec<(RepoPath, Option<PackedRef>)> {
        let noted = self.noted.lock();
        let written = edits
            .iter()
            .filter(|edit| edit.change.writes() && edit.name.as_bytes().starts_with(b"refs/"));
        let absent = written.filter_map(|edit| {
            let noted = noted.get(&edit.name)?;
            (noted.expect == Expect::Absent).then(|| (edit.name.clone(), noted.line.clone()))
        });
        absent.collect()
    }

    /// Refuses the whole change when `packed-refs` has moved since this has seen the lines to be those that were
    /// there when the locks were taken.
    fn lines_stay(&self, absent: &[(RepoPath, Option<PackedRef>)]) -> FsResult<RefEdit> {
        let packed = packed_refs();
        // Before the lines: one that is read later is no older.
        let expect = self.values.current(&packed)?;
        let oid = |line: &PackedRef| line.oid.clone();
        for (name, line) in absent {
            let now = self.values.line(name)?;
            if now.as_ref().map(oid) != line.as_ref().map(oid) {
                return Err(FsError::Refused(Refusal::RefMoved {
                    name: name.clone(),
                    actual: None,
                }));
            }
        }
        Ok(keep(packed, expect))
    }

    /// What the removal of a loose value expects besides, while this mount has the lock of `packed-refs`.
    pub(super) fn packed_stays(&self, path: &RepoPath) -> FsResult<Option<RefEdit>> {
        let packed = packed_refs();
        let is_held = self.noted.lock().contains_key(&packed);
        match is_held && room(path) == Room::Refs && *path != packed {
            true => Ok(Some(keep(packed.clone(), self.expected(&packed)?))),
            false => Ok(None),
        }
    }

    /// What the removal of lines of `packed-refs` expects besides, of the refs that this mount has locked.
    pub(super) fn unlocked_by(&self, edits: &[PackedEdit]) -> FsResult<Vec<RefEdit>> {
        let mut kept = Vec::new();
        for edit in edits {
            if let PackedEdit::Delete { name } = edit
                && let expect @ (Expect::Absent | Expect::Is(_)) = self.expected(name)?
            {
                kept.push(keep(name.clone(), expect));
            }
        }
        Ok(kept)
    }

    /// Past a held lock, as a disk allows: the lock's holder goes on from here.
    pub(super) fn wrote_past(&self, name: &RepoPath, now: Expect) {
        if let Some(noted) = self.noted.lock().get_mut(name) {
            noted.expect = now;
        }
    }
}

pub(super) fn packed_refs() -> RepoPath {
    RepoPath::new(PACKED_REFS).expect("a valid path")
}

fn keep(name: RepoPath, expect: Expect) -> RefEdit {
    RefEdit {
        name,
        expect,
        change: Change::Keep,
    }
}
