//! A client as the file system sees it.

use super::Client;
use super::rows::Rows;
use crate::locks::{self, LockName};
use crate::model::{
    Actor, BlockDigest, ClaimId, ClusterId, Command, FileEntry, Import, NamePath, Outcome,
    PackedRef, RefEntry, Repo, RepoId, RepoPath, Version,
};
use crate::replica::{BackupError, Custody, ProposeError, Replica};
use crate::state::{
    AuditRecord, AuditSink, CondemnedKey, Listing, NameEntry, PackedSink, ReadError, Trail,
    TrashedFile, TrashedRepo, View, read,
};
use std::collections::BTreeSet;
use std::io::Write;

impl Client {
    fn in_repo<T>(
        &self,
        repo: RepoId,
        answer: impl FnOnce(&dyn View) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        if !self.holds(repo) {
            let got = self.get(repo, &|| false);
            got.map_err(|error| ReadError::Away(error.to_string()))?;
        }
        answer(&*self.mirror.read_recursive())
    }
}

impl Custody for Client {
    fn backup(&self, out: &mut dyn Write) -> Result<Version, BackupError> {
        self.whole_backup(out).map(Version)
    }

    fn trashed_repos(&self) -> Result<Vec<TrashedRepo>, ReadError> {
        read::trashed_repos(&Rows(self))
    }

    fn trashed_files(&self, repo: RepoId, after: Version) -> Result<Vec<TrashedFile>, ReadError> {
        read::trashed_files(&Rows(self), repo, after)
    }

    fn condemned_repos(&self) -> Result<Vec<TrashedRepo>, ReadError> {
        read::condemned_repos(&Rows(self))
    }

    fn condemned(&self, repo: RepoId) -> Result<Vec<CondemnedKey>, ReadError> {
        read::condemned(&Rows(self), repo)
    }

    fn is_condemned(&self, repo: RepoId, key: &str) -> Result<bool, ReadError> {
        read::is_condemned(&Rows(self), repo, key)
    }

    fn lent(&self, owner: RepoId) -> Result<BTreeSet<String>, ReadError> {
        read::lent(&Rows(self), owner)
    }

    fn forgotten(&self, repo: RepoId) -> Result<Version, ReadError> {
        read::forgotten(&Rows(self), repo)
    }

    fn expired(&self, repo: RepoId) -> Result<Version, ReadError> {
        read::expired(&Rows(self), repo)
    }

    fn imports(&self) -> Result<Vec<Import>, ReadError> {
        read::imports(&Rows(self))
    }

    fn verified(&self, id: RepoId) -> Result<Vec<(RepoPath, bool)>, ReadError> {
        read::verified(&Rows(self), id)
    }

    fn audit(
        &self,
        trail: Trail,
        since: Version,
        sink: &mut AuditSink<'_>,
    ) -> Result<(), ReadError> {
        read::audit(&Rows(self), trail, since, sink)
    }

    fn last_move(&self, repo: RepoId) -> Result<Option<AuditRecord>, ReadError> {
        read::last_move(&Rows(self), repo)
    }
}

impl Replica for Client {
    fn is_alone(&self) -> bool {
        false
    }

    fn catch_up(&self, give_up: &dyn Fn() -> bool) -> Result<(), ProposeError> {
        self.look(give_up)
    }

    fn holds(&self, repo: RepoId) -> bool {
        self.mirror.read_recursive().holds(repo)
    }

    fn hold(&self, repo: RepoId, give_up: &dyn Fn() -> bool) -> Result<(), ProposeError> {
        self.get(repo, give_up)
    }

    fn propose(&self, actor: Actor, command: Command) -> Result<Outcome, ProposeError> {
        self.proposed(actor, command)
    }

    fn claims(&self) -> Result<Option<Vec<ClaimId>>, ReadError> {
        read::claims(&*self.mirror.read_recursive())
    }

    fn cluster(&self) -> Result<Option<ClusterId>, ReadError> {
        Ok(Some(self.identity().cluster))
    }

    fn lock(&self, repo: RepoId, name: &RepoPath) -> bool {
        let name = name.clone();
        locks::lock(&*self.line, &self.line.runtime, LockName { repo, name })
    }

    fn unlock(&self, repo: RepoId, name: &RepoPath) {
        let name = name.clone();
        locks::unlock(&self.line, &self.line.runtime, &LockName { repo, name });
    }

    fn lost(&self, repo: RepoId, name: &RepoPath) -> bool {
        let name = name.clone();
        self.line.own_locks.is_lost(&LockName { repo, name })
    }

    fn name(&self, path: &NamePath) -> Result<Option<NameEntry>, ReadError> {
        read::name(&*self.mirror.read_recursive(), path)
    }

    fn names_in(&self, dir: &NamePath) -> Result<Vec<(Vec<u8>, NameEntry)>, ReadError> {
        read::names_in(&*self.mirror.read_recursive(), dir)
    }

    fn repo(&self, id: RepoId) -> Result<Option<Repo>, ReadError> {
        read::repo(&*self.mirror.read_recursive(), id)
    }

    fn reference(&self, repo: RepoId, name: &RepoPath) -> Result<Option<RefEntry>, ReadError> {
        self.in_repo(repo, |view| read::reference(view, repo, name))
    }

    fn references_in(&self, repo: RepoId, dir: &RepoPath) -> Result<Listing<()>, ReadError> {
        self.in_repo(repo, |view| read::references_in(view, repo, dir))
    }

    fn has_references_in(&self, repo: RepoId, dir: &RepoPath) -> Result<bool, ReadError> {
        self.in_repo(repo, |view| read::has_references_in(view, repo, dir))
    }

    fn packed_ref(&self, repo: RepoId, name: &RepoPath) -> Result<Option<PackedRef>, ReadError> {
        self.in_repo(repo, |view| read::packed_ref(view, repo, name))
    }

    fn packed(&self, repo: RepoId, sink: &mut PackedSink<'_>) -> Result<(), ReadError> {
        self.in_repo(repo, |view| read::packed(view, repo, sink))
    }

    fn file(&self, repo: RepoId, path: &RepoPath) -> Result<Option<FileEntry>, ReadError> {
        self.in_repo(repo, |view| read::file(view, repo, path))
    }

    fn files_in(&self, repo: RepoId, dir: &RepoPath) -> Result<Listing<FileEntry>, ReadError> {
        self.in_repo(repo, |view| read::files_in(view, repo, dir))
    }

    fn blocks(&self, repo: RepoId, path: &RepoPath) -> Result<Vec<BlockDigest>, ReadError> {
        self.in_repo(repo, |view| read::blocks(view, repo, path))
    }
}
