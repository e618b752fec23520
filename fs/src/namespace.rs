//! Names of repositories, and of directories of them. Two ask for changes: git on a mount, by mkdir(2), rename(2)
//! and rmdir(2) (`tree/names.rs`), and an administrator, by `gitmoor repo` (`filesystem/names.rs`). A change is one
//! proposal, which stands here once.

mod beside;
mod local;

pub(crate) use beside::Beside;
pub(crate) use local::Local;

use crate::error::{FsError, FsResult};
use crate::failpoint;
use crate::repository::context::Context;
use gitmoor_model::{
    Actor, Command, Inside, NameChange, NamePath, NameStep, NestStep, Nesting, Refusal, Repo,
    RepoId,
};
use gitmoor_replicator::{NameEntry, Replica, read};

/// The namespace, as one process or administrator changes it.
pub(crate) struct Namespace<'a> {
    pub(crate) shared: &'a Context,
    pub(crate) actor: Actor,
}

impl Namespace<'_> {
    fn propose(&self, command: Command) -> FsResult<()> {
        self.shared.propose(self.actor.clone(), command).map(drop)
    }

    /// A directory of repositories.
    pub(crate) fn create_directory(&self, path: &NamePath) -> FsResult<()> {
        self.propose(Command::CreateDirectory { path: path.clone() })
    }

    /// The same unless something has the name: whether it was made.
    pub(crate) fn create_missing(&self, path: &NamePath) -> FsResult<bool> {
        match self.create_directory(path) {
            Ok(()) => Ok(true),
            Err(FsError::Refused(Refusal::Exists(_))) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Creates the directories above a name that are missing; answers which these are.
    pub(crate) fn create_parents(&self, path: &NamePath) -> FsResult<Vec<NamePath>> {
        let Some(parent) = path.parent().filter(|parent| !parent.is_root()) else {
            return Ok(Vec::new());
        };
        if read::name(self.shared.replica.view(), &parent)?.is_some() {
            return Ok(Vec::new());
        }
        let mut created = self.create_parents(&parent)?;
        if self.create_missing(&parent)? {
            created.push(parent);
        }
        Ok(created)
    }

    /// Refused unless it is empty.
    pub(crate) fn remove_directory(&self, path: &NamePath) -> FsResult<()> {
        self.propose(Command::RemoveDirectory { path: path.clone() })
    }

    pub(crate) fn create_repository(&self, path: &NamePath) -> FsResult<RepoId> {
        let (id, path) = (RepoId::random(), path.clone());
        self.propose(Command::CreateRepo { id, path })?;
        failpoint::REPO_CREATED.hit();
        Ok(id)
    }

    /// An empty directory becomes an empty repository. Refused when the directory is one by now, or is not empty.
    pub(crate) fn become_repository(&self, path: &NamePath) -> FsResult<RepoId> {
        let id = RepoId::random();
        self.change(path, NameStep::Become(id))?;
        failpoint::REPO_CREATED.hit();
        Ok(id)
    }

    /// The same inside another repository.
    pub(crate) fn make_inside(&self, inside: &Inside) -> FsResult<RepoId> {
        let id = RepoId::random();
        self.nest(id, inside, NestStep::Make)?;
        failpoint::REPO_CREATED.hit();
        Ok(id)
    }

    /// A repository moves to a place inside another one.
    pub(crate) fn move_inside(&self, repo: RepoId, inside: &Inside) -> FsResult<()> {
        self.nest(repo, inside, NestStep::Move)
    }

    /// A deleted repository comes back inside another one.
    pub(crate) fn restore_inside(&self, repo: RepoId, inside: &Inside) -> FsResult<()> {
        self.nest(repo, inside, NestStep::Restore)
    }

    fn nest(&self, repo: RepoId, inside: &Inside, step: NestStep) -> FsResult<()> {
        let inside = inside.clone();
        let nesting = Nesting { repo, inside, step };
        self.propose(Command::Nest(Box::new(nesting)))
    }

    /// A repository or a directory gets a name that nothing has.
    pub(crate) fn rename(&self, from: &NamePath, to: &NamePath) -> FsResult<()> {
        let is_old = |path: &NamePath| path.names_repository();
        let named = read::name(self.shared.replica.view(), from)?;
        let (path, to) = (from.clone(), to.clone());
        match named {
            // As every version of a node understands it.
            Some(NameEntry::Repo(_)) if is_old(from) && is_old(&to) => {
                self.propose(Command::Rename { from: path, to })
            }
            Some(NameEntry::Directory) => self.propose(Command::Rename { from: path, to }),
            Some(NameEntry::Repo(_) | NameEntry::Link(_) | NameEntry::File(_)) | None => {
                let replace = false;
                self.change(from, NameStep::Move { to, replace })
            }
        }
    }

    /// A deleted repository gets a name that nothing has.
    pub(crate) fn restore(&self, id: RepoId, path: &NamePath) -> FsResult<()> {
        match path.names_repository() {
            true => {
                let path = path.clone();
                self.propose(Command::RestoreRepo { id, path })
            }
            false => self.change(path, NameStep::Restore(id)),
        }
    }

    fn change(&self, path: &NamePath, step: NameStep) -> FsResult<()> {
        let path = path.clone();
        let change = NameChange { path, step };
        self.propose(Command::Name(Box::new(change)))
    }

    /// A repository goes to the trash. Whoever has it open closes it then.
    pub(crate) fn delete(&self, id: RepoId) -> FsResult<()> {
        self.propose(Command::DeleteRepo { id })?;
        failpoint::REPO_DELETED.hit();
        Ok(())
    }
}

/// Every repository of the namespace, and every one inside another, in the order of their names.
pub(crate) fn repositories(replica: &dyn Replica) -> FsResult<Vec<Repo>> {
    let mut found = Vec::new();
    let mut directories = vec![NamePath::root()];
    while let Some(dir) = directories.pop() {
        for (name, entry) in read::names_in(replica.view(), &dir)? {
            match entry {
                NameEntry::Directory => directories.extend(dir.join(&name)),
                NameEntry::Repo(id) => {
                    let repo = read::repo(replica.view(), id)?;
                    let inner = repo
                        .as_ref()
                        .map(|repo| read::inner(replica.view(), &repo.path));
                    found.extend(repo);
                    found.extend(inner.transpose()?.into_iter().flatten());
                }
                NameEntry::Link(_) | NameEntry::File(_) => {}
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}
