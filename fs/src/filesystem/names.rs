//! The namespace, as an administrator changes it, through a mount whose kernel is told of it.

use super::FileSystem;
use crate::error::{FsError, FsResult};
use crate::namespace::{Namespace, repositories};
use gitmoor_model::{Actor, Inside, NamePath, Repo, RepoId};
use gitmoor_replicator::{NameEntry, read};

/// The namespace, as an administrator changes it, through a mount that is told of it.
pub struct Names<'a> {
    fs: &'a FileSystem,
    actor: Actor,
}

impl<'a> Names<'a> {
    /// On behalf of `actor`.
    pub fn of(fs: &'a FileSystem, actor: Actor) -> Self {
        Self { fs, actor }
    }

    fn as_actor(&self, actor: Actor) -> Namespace<'_> {
        let shared = &self.fs.shared;
        Namespace { shared, actor }
    }

    fn namespace(&self) -> Namespace<'_> {
        self.as_actor(self.actor.clone())
    }

    /// The repository of this name.
    pub fn find(&self, path: &NamePath) -> FsResult<Option<Repo>> {
        let replica = &self.fs.shared.replica;
        match read::name(replica.view(), path)? {
            Some(NameEntry::Repo(id)) => Ok(read::repo(replica.view(), id)?),
            Some(NameEntry::Directory | NameEntry::Link(_) | NameEntry::File(_)) | None => Ok(None),
        }
    }

    /// A repository, and all inside it.
    pub fn with_inner(&self, repo: &Repo) -> FsResult<Vec<Repo>> {
        let inner = read::inner(self.fs.shared.replica.view(), &repo.path)?;
        Ok(std::iter::once(repo.clone()).chain(inner).collect())
    }

    /// All repositories, in the order of their names.
    pub fn repositories(&self) -> FsResult<Vec<Repo>> {
        repositories(&*self.fs.shared.replica)
    }

    /// The repository of this name. It is created, with the directories above, when there is none and the file system
    /// may be written to.
    pub fn find_or_create(&self, path: &NamePath) -> FsResult<RepoId> {
        if let Some(repo) = self.find(path)? {
            return Ok(repo.id);
        }
        if self.fs.is_read_only() {
            return Err(FsError::NotFound);
        }
        self.create_parents(path)?;
        let id = self.namespace().create_repository(path)?;
        self.fs.name_changed(path);
        Ok(id)
    }

    /// Creates the directories above a name that are missing. Inside a repository there are none to create.
    pub fn create_parents(&self, path: &NamePath) -> FsResult<()> {
        if self.inside(path)?.is_some() {
            return Ok(());
        }
        // Nobody asked for these directories in particular.
        let created = self.as_actor(Actor::default()).create_parents(path)?;
        (created.iter()).for_each(|path| self.fs.name_changed(path));
        Ok(())
    }

    /// Where in a repository around it a path is.
    fn inside(&self, path: &NamePath) -> FsResult<Option<Inside>> {
        Ok(read::inside(self.fs.shared.replica.view(), path)?)
    }

    /// Gives a repository in the trash a name, or a place inside another one, with all that went with it.
    pub fn restore(&self, id: RepoId, path: &NamePath) -> FsResult<()> {
        self.create_parents(path)?;
        match self.inside(path)? {
            Some(inside) => self.namespace().restore_inside(id, &inside)?,
            None => self.namespace().restore(id, path)?,
        }
        self.fs.name_changed(path);
        Ok(())
    }

    /// Creates the directories above the new name, then moves a repository there, or inside another one.
    pub fn rename(&self, repo: &Repo, to: &NamePath) -> FsResult<()> {
        self.create_parents(to)?;
        let from = &repo.path;
        match self.inside(to)? {
            Some(inside) => self.namespace().move_inside(repo.id, &inside)?,
            None => self.namespace().rename(from, to)?,
        }
        self.fs.name_changed(from);
        self.fs.name_changed(to);
        Ok(())
    }

    /// Moves a repository to the trash, with all inside it. What is finished there is published first, so that the
    /// trash has it.
    pub fn delete(&self, repo: &Repo) -> FsResult<()> {
        let all = self.with_inner(repo)?;
        for id in all.iter().map(|repo| repo.id) {
            if let Err(error) = self.fs.publish_repo(id) {
                tracing::warn!(repo = %id, %error, "deleted with files that are not stored; they stay on this machine until it is purged");
            }
        }
        self.namespace().delete(repo.id)?;
        all.iter()
            .for_each(|repo| self.fs.repositories.close(repo.id));
        self.fs.name_changed(&repo.path);
        Ok(())
    }
}
