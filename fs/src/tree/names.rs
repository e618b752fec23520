//! The namespace: directories of repositories.

use super::{Listed, Place, Process, Repositories, caller};
use crate::error::{FsError, FsResult};
use crate::namespace::{Beside, Local, Namespace};
use crate::process::of_thread;
use crate::repository::context::Context;
use crate::repository::local::Owner;
use crate::repository::{Found, Identity, NewAttributes, Repository, type_of};
use crate::tree::Stat;
use gitmoor_model::room::Type;
use gitmoor_model::{Actor, Inside, NamePath, Refusal, RepoId, RepoPath};
use gitmoor_replicator::{NameEntry, read};
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

/// Permission bits of a directory of the namespace, which it keeps when it becomes a repository.
const DIRECTORY_MODE: u32 = 0o755;

/// Whether a program begins a repository with this name: git and its kind, or cp(1), which takes the names as the
/// disk lists them.
pub(super) fn begins_repository(name: &[u8]) -> bool {
    let name = name.strip_suffix(b".lock").unwrap_or(name);
    matches!(
        name,
        b"FETCH_HEAD"
            | b"HEAD"
            | b"ORIG_HEAD"
            | b"branches"
            | b"config"
            | b"description"
            | b"git-daemon-export-ok"
            | b"gl-conf"
            | b"hooks"
            | b"info"
            | b"objects"
            | b"packed-refs"
            | b"refs"
            | b"reftable"
            | b"shallow"
            | b"worktrees"
    )
}

pub(super) struct Names {
    shared: Arc<Context>,
    repositories: Arc<Repositories>,
    /// What is no directory.
    pub(super) beside: Beside,
    /// What only this machine has.
    pub(super) local: Local,
}

impl Names {
    pub(super) fn open(shared: Arc<Context>, repositories: Arc<Repositories>) -> FsResult<Self> {
        Ok(Self {
            beside: Beside::new(shared.clone()),
            local: Local::open(shared.clone())?,
            shared,
            repositories,
        })
    }

    /// Syncs reads before a process is shown what a name stands for. What is in a
    /// repository of that name is loaded, on a client that has not done so yet.
    pub(super) fn sync(&self, path: &NamePath, process: Process) -> FsResult<()> {
        if !process.may_wait {
            return Ok(());
        }
        self.shared.freshness.sync_reads_for(process.tid)?;
        match read::name(self.shared.replica.view(), path)? {
            Some(NameEntry::Repo(id)) if !self.shared.replica.has_loaded(id) => {
                self.shared.freshness.load_repo(id)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What stands at a path. What is local may not be there: its stat(2) says so.
    pub(super) fn named(&self, path: &NamePath) -> FsResult<Place> {
        let is_local = self.local.covers(path);
        match read::name(self.shared.replica.view(), path)? {
            _ if self.local.is_top(path) => Ok(Place::Local(path.clone())),
            Some(NameEntry::Repo(id)) => {
                Ok(Place::Repo(self.repositories.get(id)?, RepoPath::root()))
            }
            _ if is_local => Ok(Place::Local(path.clone())),
            Some(NameEntry::Directory) => Ok(Place::Name(path.clone())),
            Some(NameEntry::Link(_) | NameEntry::File(_)) => Ok(Place::Beside(path.clone())),
            None => Err(FsError::NotFound),
        }
    }

    /// What stat(2) says of a file or a symbolic link, and which one it is.
    pub(super) fn stat(&self, path: &NamePath) -> FsResult<(Stat, Option<Identity>)> {
        let entry = read::name(self.shared.replica.view(), path)?;
        let (stat, version) = entry
            .and_then(|entry| Stat::beside(&entry))
            .ok_or(FsError::NotFound)?;
        Ok((stat, Some(Identity::Written(version))))
    }

    /// The names in a directory.
    pub(super) fn list(&self, dir: &NamePath) -> FsResult<Vec<Listed>> {
        let names = read::names_in(self.shared.replica.view(), dir)?.into_iter();
        let names = names.map(|(name, entry)| (name, kind_of(&entry)));
        let local = match dir.is_root() {
            true => self
                .local
                .names()
                .map(|name| (name.to_vec(), Type::Directory)),
            false => return Ok(listed(names)),
        };
        Ok(listed(names.chain(local).collect::<BTreeMap<_, _>>()))
    }

    /// The names in a local one: its own, and those of repositories.
    pub(super) fn list_local(&self, dir: &NamePath) -> FsResult<Vec<Listed>> {
        let own = self.local.list(dir)?.into_iter();
        let own = own.map(|(name, kind)| (name, type_of(kind)));
        let names = read::names_in(self.shared.replica.view(), dir)?.into_iter();
        let repositories = names.filter(|(_, entry)| matches!(entry, NameEntry::Repo(_)));
        let repositories = repositories.map(|(name, _)| (name, Type::Directory));
        Ok(listed(own.chain(repositories).collect::<BTreeMap<_, _>>()))
    }

    /// As this process changes it.
    fn namespace(&self, process: Process) -> Namespace<'_> {
        Namespace {
            shared: &self.shared,
            actor: self.actor(process),
        }
    }

    /// Who changes it then.
    pub(super) fn actor(&self, process: Process) -> Actor {
        let pid = of_thread(process.tid);
        self.shared.origins.actor(process.uid, pid)
    }

    /// mkdir: a repository if the name ends in `.git`.
    pub(super) fn make(&self, path: &NamePath, mode: u32, process: Process) -> FsResult<Place> {
        if self.local.is_top(path) {
            return Err(FsError::Exists);
        }
        if !path.names_repository() {
            self.namespace(process).create_directory(path)?;
            return Ok(Place::Name(path.clone()));
        }
        let id = self.namespace(process).create_repository(path)?;
        self.given(id, self.made(mode, process), process)
    }

    /// What mkdir(2) gives a new directory.
    fn made(&self, mode: u32, process: Process) -> (u32, Owner) {
        (mode, self.shared.config.shown.owner_of_new(process))
    }

    /// The top of a new repository, with the mode and the owner that it has from mkdir(2), or had as a directory.
    fn given(&self, id: RepoId, (mode, owner): (u32, Owner), process: Process) -> FsResult<Place> {
        let repo = self.repositories.get(id)?;
        let caller = caller(&self.shared.config.shown, &repo, process);
        let top = NewAttributes {
            mode: Some(mode),
            uid: Some(owner.uid),
            gid: Some(owner.gid),
            ..NewAttributes::default()
        };
        repo.set_attributes(&RepoPath::root(), &top, None, &caller)?;
        Ok(Place::Repo(repo, RepoPath::root()))
    }

    /// The repository that a directory of this path has become; `None` while it is a directory, or gone.
    pub(super) fn repository_at(&self, path: &NamePath) -> FsResult<Option<Place>> {
        match read::name(self.shared.replica.view(), path)? {
            Some(NameEntry::Repo(_)) if self.local.is_top(path) => Ok(None),
            Some(NameEntry::Repo(_)) => self.named(path).map(Some),
            Some(NameEntry::Directory | NameEntry::Link(_) | NameEntry::File(_)) | None => Ok(None),
        }
    }

    /// Makes a repository of an empty directory, for its first name is one of git's layout; `None` of a directory
    /// that is not empty.
    pub(super) fn begin_repository(
        &self,
        path: &NamePath,
        process: Process,
    ) -> FsResult<Option<Place>> {
        let has_names = || read::names_in(self.shared.replica.view(), path);
        if path.is_root() || self.beside.has_drafts_in(path) || !has_names()?.is_empty() {
            return Ok(None);
        }
        self.becomes(path, self.made(DIRECTORY_MODE, process), process)
    }

    fn becomes(
        &self,
        path: &NamePath,
        was: (u32, Owner),
        process: Process,
    ) -> FsResult<Option<Place>> {
        match self.namespace(process).become_repository(path) {
            Ok(id) => self.given(id, was, process).map(Some),
            // Another machine was quicker.
            Err(FsError::Refused(Refusal::Exists(_))) => self.repository_at(path),
            Err(FsError::Refused(Refusal::NotEmpty(_))) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// mkdir in a local directory, the same.
    pub(super) fn make_in_local(
        &self,
        path: &NamePath,
        mode: u32,
        process: Process,
    ) -> FsResult<Place> {
        if !path.names_repository() {
            let owner = self.shared.config.shown.owner_of_new(process);
            self.local.mkdir(path, mode, owner)?;
            return Ok(Place::Local(path.clone()));
        }
        match self.local.stat(path) {
            Ok(_) => return Err(FsError::Exists),
            Err(FsError::NotFound) => {}
            Err(error) => return Err(error),
        }
        self.namespace(process).create_parents(path)?;
        let id = self.namespace(process).create_repository(path)?;
        let (mut mode, mut owner) = self.made(mode, process);
        let above = path.parent().map(|above| self.local.stat(&above));
        // A set-group-id directory passes its group on.
        if let Some(above) = above.transpose()?
            && above.mode() & libc::S_ISGID != 0
        {
            (mode, owner.gid) = (mode | libc::S_ISGID, above.gid());
        }
        self.given(id, (mode, owner), process)
    }

    /// [`Names::begin_repository`] in a local directory, which the repository takes the place of.
    pub(super) fn begin_repository_in_local(
        &self,
        path: &NamePath,
        process: Process,
    ) -> FsResult<Option<Place>> {
        if self.local.is_top(path) || !self.local.list(path)?.is_empty() {
            return Ok(None);
        }
        let was = as_it_is(&self.local.stat(path)?);
        let namespace = self.namespace(process);
        namespace.create_parents(path)?;
        namespace.create_missing(path)?;
        let begun = self.becomes(path, was, process)?;
        if begun.is_some() {
            self.local.make_way(path)?;
        }
        Ok(begun)
    }

    /// rmdir(2) in a local directory.
    pub(super) fn remove_local(&self, path: &NamePath, process: Process) -> FsResult<()> {
        self.local.rmdir(path)?;
        self.forget_directories(path, process);
        Ok(())
    }

    /// rename of what is in a local directory to there.
    pub(super) fn rename_local(
        &self,
        (from, to): (&NamePath, &NamePath),
        replace: bool,
        process: Process,
    ) -> FsResult<()> {
        self.local.rename(from, to, replace)?;
        self.forget_directories(from, process);
        Ok(())
    }

    /// Removes the directories of the namespace that repositories of a local one have left: nobody sees them here, and
    /// no repository is beneath.
    fn forget_directories(&self, path: &NamePath, process: Process) {
        let forget = || -> FsResult<()> {
            let view = self.shared.replica.view();
            if read::name(view, path)? != Some(NameEntry::Directory) {
                return Ok(());
            }
            for (name, entry) in read::names_in(view, path)? {
                if let (NameEntry::Directory, Some(path)) = (entry, path.join(&name)) {
                    self.forget_directories(&path, process);
                }
            }
            self.remove(path, process)
        };
        if let Err(error) = forget() {
            tracing::debug!(%path, %error, "a directory of the namespace stays");
        }
    }

    /// [`Names::begin_repository`] of an empty directory inside another repository.
    pub(super) fn begin_inside(
        &self,
        owner: &Repository,
        inside: &Inside,
        process: Process,
    ) -> FsResult<Option<Place>> {
        let path = inside.module.path();
        let was = match owner.find(path)? {
            Some(Found::Real(meta)) => as_it_is(&meta),
            Some(_) | None => self.made(DIRECTORY_MODE, process),
        };
        match self.namespace(process).make_inside(inside) {
            Ok(id) => self.given(id, was, process).map(Some),
            // Another machine was quicker.
            Err(FsError::Refused(Refusal::Exists(_))) => {
                let there = owner.modules().at(path)?.ok_or(FsError::NotFound)?;
                let repo = self.repositories.get(there)?;
                Ok(Some(Place::Repo(repo, RepoPath::root())))
            }
            Err(FsError::Refused(Refusal::NotEmpty(_))) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// rmdir of a directory.
    pub(super) fn remove(&self, path: &NamePath, process: Process) -> FsResult<()> {
        self.namespace(process).remove_directory(path)
    }

    /// rmdir of a repository's top, after rm -rf has removed what is in it.
    pub(super) fn delete_emptied(&self, repo: &Repository, process: Process) -> FsResult<()> {
        if !repo.is_empty()? {
            return Err(FsError::NotEmpty);
        }
        self.namespace(process).delete(repo.id)?;
        self.repositories.close(repo.id);
        Ok(())
    }

    /// Makes way for `source` at a path: an empty directory there is replaced, as rename(2) does.
    /// Answers what stood there.
    pub(super) fn make_way(
        &self,
        source: &Place,
        to: &NamePath,
        process: Process,
    ) -> FsResult<Option<Place>> {
        let Ok(target) = self.named(to) else {
            return Ok(None);
        };
        match (source, &target) {
            (Place::Name(_), Place::Name(path)) => self.remove(path, process)?,
            (Place::Repo(..), Place::Repo(repo, _)) => self.delete_emptied(repo, process)?,
            (Place::Repo(..), Place::Name(path)) => self.remove(path, process)?,
            (Place::Repo(..), Place::Local(path)) => self.local.make_way(path)?,
            (Place::Name(_), Place::Repo(..)) => return Err(FsError::Exists),
            (Place::Name(_) | Place::Beside(_), Place::Local(_)) | (Place::Local(_), _) => {
                return Err(FsError::CrossRoom);
            }
            (_, Place::Beside(_)) => return Err(FsError::NotDirectory),
            (Place::Beside(_), _) => return Err(FsError::IsDirectory),
        }
        Ok(Some(target))
    }

    /// mv of a repository to a place inside another one.
    pub(super) fn move_inside(
        &self,
        repo: &Repository,
        inside: &Inside,
        process: Process,
    ) -> FsResult<()> {
        self.namespace(process).move_inside(repo.id, inside)
    }

    /// mv of a repository that is inside another one.
    pub(super) fn move_out(
        &self,
        repo: &Repository,
        to: &NamePath,
        process: Process,
    ) -> FsResult<()> {
        let now = read::repo(self.shared.replica.view(), repo.id)?.ok_or(FsError::NotFound)?;
        self.rename(&now.path, to, process)
    }

    /// mv of a repository or a directory of them. The directories above it may be there on this machine alone.
    pub(super) fn rename(&self, from: &NamePath, to: &NamePath, process: Process) -> FsResult<()> {
        let namespace = self.namespace(process);
        if self.local.covers(to) {
            namespace.create_parents(to)?;
        }
        namespace.rename(from, to)
    }
}

/// Permission bits and owner of a directory that becomes a repository.
fn as_it_is(directory: &Metadata) -> (u32, Owner) {
    let (uid, gid) = (directory.uid(), directory.gid());
    (directory.mode() & 0o7777, Owner { uid, gid })
}

fn kind_of(entry: &NameEntry) -> Type {
    match entry {
        NameEntry::Directory | NameEntry::Repo(_) => Type::Directory,
        NameEntry::Link(_) => Type::Symlink,
        NameEntry::File(_) => Type::File,
    }
}

fn listed(names: impl IntoIterator<Item = (Vec<u8>, Type)>) -> Vec<Listed> {
    let names = names.into_iter();
    names.map(|(name, kind)| Listed { name, kind }).collect()
}
