//! The replicated values of one repository, as the parts of the refs room read and commit them.

use crate::error::FsResult;
use crate::repository::context::Context;
use crate::repository::objects::{check_limit, is_over_quota};
use crate::repository::transaction::{Author, Transactions};
use gitmoor_model::{
    Expect, Limit, PACKED_REFS, PackedRef, RefEntry, RepoChange, RepoId, RepoPath, Version,
};
use gitmoor_replicator::{Listing, read};
use std::sync::Arc;

pub(super) struct Values {
    pub(super) repo: RepoId,
    pub(super) shared: Arc<Context>,
    transactions: Arc<Transactions>,
}

impl Values {
    pub(super) fn new(repo: RepoId, shared: Arc<Context>, transactions: Arc<Transactions>) -> Self {
        Self {
            repo,
            shared,
            transactions,
        }
    }

    /// The loose value of a name.
    pub(super) fn get(&self, name: &RepoPath) -> FsResult<Option<RefEntry>> {
        Ok(read::reference(
            self.shared.replica.view(),
            self.repo,
            name,
        )?)
    }

    /// The line of a name in `packed-refs`.
    pub(super) fn line(&self, name: &RepoPath) -> FsResult<Option<PackedRef>> {
        Ok(read::packed_ref(
            self.shared.replica.view(),
            self.repo,
            name,
        )?)
    }

    /// The loose values in a directory, with their modes.
    pub(super) fn in_dir(&self, dir: &RepoPath) -> FsResult<Listing<u32>> {
        Ok(read::references_in(
            self.shared.replica.view(),
            self.repo,
            dir,
        )?)
    }

    /// Whether any are in a directory.
    pub(super) fn any_in(&self, dir: &RepoPath) -> FsResult<bool> {
        Ok(read::has_references_in(
            self.shared.replica.view(),
            self.repo,
            dir,
        )?)
    }

    /// What a value is now, as a change of it may expect.
    pub(super) fn current(&self, name: &RepoPath) -> FsResult<Expect> {
        if let Some(entry) = self.get(name)? {
            return Ok(Expect::Is(entry.version));
        }
        let repo = match name.as_bytes() == PACKED_REFS {
            true => read::repo(self.shared.replica.view(), self.repo)?,
            false => None,
        };
        Ok(repo.map_or(Expect::Absent, |repo| Expect::Is(repo.packed_version)))
    }

    /// Whether a ref may come that is not there. The replicator decides, at the commit; here git can say why not.
    pub(super) fn check_quota(&self, name: &RepoPath, expect: Expect) -> FsResult<Expect> {
        let is_new = expect == Expect::Absent && name.as_bytes().starts_with(b"refs/");
        if !is_new {
            return Ok(expect);
        }
        match check_limit(&*self.shared.replica, self.repo, Limit::Refs, 1) {
            Err(error) if is_over_quota(&error) && self.line(name)?.is_some() => Ok(expect),
            checked => checked.map(|()| expect),
        }
    }

    /// Commits a change, after everything that it may refer to is stored.
    pub(super) fn commit(&self, change: RepoChange, by: &Author) -> FsResult<Version> {
        self.transactions.commit(change, by)
    }
}
