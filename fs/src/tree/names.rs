//! The namespace: directories of repositories.

use super::{Listed, Place, Process, Tree};
use crate::error::{FsError, FsResult};
use crate::namespace::Namespace;
use crate::process::of_thread;
use crate::repository::{NewAttributes, Repository};
use gitmoor_model::room::Type;
use gitmoor_model::{NamePath, RepoPath};
use gitmoor_replicator::{NameEntry, read};

impl Tree {
    /// What stands at a path of the namespace.
    pub(super) fn named(&self, path: &NamePath) -> FsResult<Place> {
        match read::name(self.shared.replica.view(), path)?.ok_or(FsError::NotFound)? {
            NameEntry::Directory => Ok(Place::Name(path.clone())),
            NameEntry::Repo(id) => Ok(Place::Repo(self.repositories.get(id)?, RepoPath::root())),
        }
    }

    pub(super) fn list_names(&self, dir: &NamePath) -> FsResult<Vec<Listed>> {
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
        let pid = of_thread(process.pid);
        Namespace {
            shared: &self.shared,
            actor: self.shared.origins.actor(process.uid, pid),
        }
    }

    /// mkdir: a repository if the name ends in `.git`.
    pub(super) fn make_name(
        &self,
        path: &NamePath,
        mode: u32,
        process: Process,
    ) -> FsResult<Place> {
        if !path.names_repository() {
            self.namespace(process).create_directory(path)?;
            return Ok(Place::Name(path.clone()));
        }
        let id = self.namespace(process).create_repository(path)?;
        let repo = self.repositories.get(id)?;
        let caller = self.caller(&repo, process);
        let top = NewAttributes {
            mode: Some(mode),
            uid: Some(caller.owner.uid),
            gid: Some(caller.owner.gid),
            ..NewAttributes::default()
        };
        repo.set_attributes(&RepoPath::root(), &top, None, &caller)?;
        Ok(Place::Repo(repo, RepoPath::root()))
    }

    /// rmdir of a namespace directory.
    pub(super) fn remove_name(&self, path: &NamePath, process: Process) -> FsResult<()> {
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

    /// mv of a repository or a directory of them. An empty directory in the way
    /// is replaced, as rename(2) does.
    pub(super) fn rename_name(
        &self,
        from: &NamePath,
        to: &NamePath,
        process: Process,
    ) -> FsResult<()> {
        let source = self.named(from)?;
        if let Ok(target) = self.named(to) {
            match (&source, &target) {
                _ if from == to => return Ok(()),
                (Place::Name(_), Place::Name(path)) => self.remove_name(path, process)?,
                (Place::Repo(..), Place::Repo(repo, _)) => self.delete_emptied(repo, process)?,
                _ => return Err(FsError::Exists),
            }
            self.inodes.orphan(&target);
        }
        self.namespace(process).rename(from, to)?;
        if matches!(source, Place::Name(_)) {
            self.inodes
                .rename(&Place::Name(from.clone()), &Place::Name(to.clone()), None);
        }
        Ok(())
    }
}
