//! The namespace: directories of repositories.

use super::{Listed, Place, Process, Repositories, caller};
use crate::error::{FsError, FsResult};
use crate::namespace::Namespace;
use crate::process::of_thread;
use crate::repository::context::Context;
use crate::repository::{NewAttributes, Repository};
use gitmoor_model::room::Type;
use gitmoor_model::{NamePath, RepoPath};
use gitmoor_replicator::{NameEntry, read};
use std::sync::Arc;

pub(super) struct Names {
    shared: Arc<Context>,
    repositories: Arc<Repositories>,
}

impl Names {
    pub(super) fn new(shared: Arc<Context>, repositories: Arc<Repositories>) -> Self {
        Self {
            shared,
            repositories,
        }
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

    /// What stands at a path.
    pub(super) fn named(&self, path: &NamePath) -> FsResult<Place> {
        match read::name(self.shared.replica.view(), path)?.ok_or(FsError::NotFound)? {
            NameEntry::Directory => Ok(Place::Name(path.clone())),
            NameEntry::Repo(id) => Ok(Place::Repo(self.repositories.get(id)?, RepoPath::root())),
        }
    }

    /// The names in a directory.
    pub(super) fn list(&self, dir: &NamePath) -> FsResult<Vec<Listed>> {
        let names = read::names_in(self.shared.replica.view(), dir)?;
        Ok(names
            .into_iter()
            .map(|(name, _)| Listed {
                name,
                kind: Type::Directory,
            })
            .collect())
    }

    /// As this process changes it.
    fn namespace(&self, process: Process) -> Namespace<'_> {
        let pid = of_thread(process.tid);
        Namespace {
            shared: &self.shared,
            actor: self.shared.origins.actor(process.uid, pid),
        }
    }

    /// mkdir: a repository if the name ends in `.git`.
    pub(super) fn make(&self, path: &NamePath, mode: u32, process: Process) -> FsResult<Place> {
        if !path.names_repository() {
            self.namespace(process).create_directory(path)?;
            return Ok(Place::Name(path.clone()));
        }
        let id = self.namespace(process).create_repository(path)?;
        let repo = self.repositories.get(id)?;
        let caller = caller(&self.shared.config.shown, &repo, process);
        let top = NewAttributes {
            mode: Some(mode),
            uid: Some(caller.owner.uid),
            gid: Some(caller.owner.gid),
            ..NewAttributes::default()
        };
        repo.set_attributes(&RepoPath::root(), &top, None, &caller)?;
        Ok(Place::Repo(repo, RepoPath::root()))
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
            (Place::Name(_), Place::Repo(..)) | (Place::Repo(..), Place::Name(_)) => {
                return Err(FsError::Exists);
            }
        }
        Ok(Some(target))
    }

    /// mv of a repository or a directory of them.
    pub(super) fn rename(&self, from: &NamePath, to: &NamePath, process: Process) -> FsResult<()> {
        self.namespace(process).rename(from, to)
    }
}
