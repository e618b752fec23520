//! What a step that rests on a lock expects.
//!
//! git reads a ref when it has the ref's lock, decides, and then renames the lock to the ref or unlinks the ref.
//! Nothing but the lock keeps others away in between, and a lock may be lost: of a machine that was frozen for
//! longer than the lease others take it. So a step is refused (ESTALE)
//!
//! - when the lock that it rests on was lost by then ([`Refs::expected`]), whatever has become of the value;
//! - when the loose value is not what it was when the lock was taken;
//! - when the ref had no loose value and its line of `packed-refs` is another ([`Refs::commit_under_lock`]): somebody
//!   wrote the ref and packed it;
//! - when a loose value is removed under the lock of `packed-refs`, as git does to delete a ref, and `packed-refs` has
//!   moved ([`Refs::packed_stays`]): the line of it would show again;
//! - when a line of `packed-refs` is removed and the loose value that this mount has locked has moved
//!   ([`Refs::unlocked_by`]): a ref that git reports as deleted would stay.
//!
//! All but the first are conditions of the commit itself, so that no time passes between the look and the deed.

use super::Refs;
use crate::error::{FsError, FsResult};
use crate::repository::transaction::Author;
use gitmoor_model::{
    Change, Expect, PACKED_REFS, PackedEdit, PackedRef, RefEdit, Refusal, RepoChange, RepoPath,
    Version,
};
use gitmoor_replicator::read;

/// How often a commit looks again because `packed-refs` was rewritten in between, which is rare even once.
const LOOKS: usize = 10;

/// What a ref was when its lock was taken.
#[derive(Clone)]
pub(super) struct Noted {
    pub(super) expect: Expect,
    /// Its line of `packed-refs`, where it had no loose value.
    pub(super) line: Option<PackedRef>,
}

impl Refs {
    /// What a change of a name expects; an error when the lock that this mount has of it was lost.
    pub(super) fn expected(&self, name: &RepoPath) -> FsResult<Expect> {
        let noted = self.locked.lock().get(name).cloned();
        match noted {
            None => Ok(Expect::Anything),
            Some(_) if self.shared.replica.lost(self.repo, name) => Err(FsError::LockLost {
                name: name.to_string(),
            }),
            Some(noted) => Ok(noted.expect),
        }
    }

    /// What there is to expect of a name that is locked now.
    pub(super) fn note(&self, name: &RepoPath, expect: Expect) -> FsResult<()> {
        let line = match expect {
            Expect::Absent => read::packed_ref(self.shared.replica.view(), self.repo, name)?,
            Expect::Anything | Expect::Is(_) => None,
        };
        let noted = Noted { expect, line };
        self.locked.lock().insert(name.clone(), noted);
        Ok(())
    }

    /// Commits a change that gives a locked ref a value.
    pub(super) fn commit_under_lock(
        &self,
        name: &RepoPath,
        change: &RepoChange,
        by: &Author,
    ) -> FsResult<Version> {
        let noted = self.locked.lock().get(name).cloned();
        let may_be_packed = name.as_bytes().starts_with(b"refs/");
        let absent = noted.filter(|noted| may_be_packed && noted.expect == Expect::Absent);
        let Some(Noted { line, .. }) = absent else {
            return self.commit(change.clone(), by);
        };
        let mut looks = 1;
        loop {
            let mut change = change.clone();
            change.refs.push(self.line_stays(name, line.as_ref())?);
            match self.commit(change, by) {
                Err(FsError::Refused(Refusal::RefMoved { name: moved, .. }))
                    if moved.as_bytes() == PACKED_REFS && looks < LOOKS =>
                {
                    looks += 1;
                    self.shared.freshness.sync_reads()?;
                }
                committed => return committed,
            }
        }
    }

    /// Refuses the whole change when `packed-refs` has moved since this has seen the line to be the one that was
    /// there when the lock was taken.
    fn line_stays(&self, name: &RepoPath, line: Option<&PackedRef>) -> FsResult<RefEdit> {
        let packed = packed_refs();
        // Before the line: one that is read later is no older.
        let expect = self.current(&packed)?;
        let now = read::packed_ref(self.shared.replica.view(), self.repo, name)?;
        let oid = |line: &PackedRef| line.oid.clone();
        if now.as_ref().map(oid) != line.map(oid) {
            return Err(FsError::Refused(Refusal::RefMoved {
                name: name.clone(),
                actual: None,
            }));
        }
        Ok(keep(packed, expect))
    }

    /// What the removal of a loose value expects besides, while this mount has the lock of `packed-refs`.
    pub(super) fn packed_stays(&self, path: &RepoPath) -> FsResult<Option<RefEdit>> {
        let packed = packed_refs();
        let is_held = self.locked.lock().contains_key(&packed);
        match is_held && *path != packed {
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
    pub(super) fn wrote_past_lock(&self, name: &RepoPath, now: Expect) {
        if let Some(noted) = self.locked.lock().get_mut(name) {
            noted.expect = now;
        }
    }
}

fn packed_refs() -> RepoPath {
    RepoPath::new(PACKED_REFS).expect("a valid path")
}

fn keep(name: RepoPath, expect: Expect) -> RefEdit {
    RefEdit {
        name,
        expect,
        change: Change::Keep,
    }
}
