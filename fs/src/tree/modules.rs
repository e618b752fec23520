//! Repositories inside repositories: beneath the `modules/` of one, a name may lead to the top of another.

use super::names::begins_repository;
use super::{Place, Process, Tree, join, join_name};
use crate::error::{FsError, FsResult};
use crate::repository::Repository;
use gitmoor_model::{RepoId, RepoPath};
use std::sync::Arc;

/// The repository inside another one that stands at a place.
fn inner_at(place: &Place) -> FsResult<Option<RepoId>> {
    match place {
        Place::Repo(repo, path) => repo.modules().at(path),
        Place::Name(_) | Place::Local(_) | Place::Beside(_) => Ok(None),
    }
}

/// See the module.
pub(super) struct Modules<'t> {
    pub(super) tree: &'t Tree,
}

impl Modules<'_> {
    /// What stands at a place: what this is of, or the top of a repository inside that.
    pub(super) fn within(&self, place: Place) -> FsResult<Place> {
        match inner_at(&place)? {
            Some(inner) => Ok(Place::Repo(
                self.tree.repositories.get(inner)?,
                RepoPath::root(),
            )),
            None => Ok(place),
        }
    }

    /// The same before it is shown to a process: the rows of the one inside are there then, on a client too.
    pub(super) fn within_to_show(&self, place: Place, process: Process) -> FsResult<Place> {
        self.tree.sync_reads(&place, process)?;
        if let Some(inner) = inner_at(&place)?
            && process.may_wait
            && !self.tree.shared.replica.has_loaded(inner)
        {
            self.tree.shared.freshness.load_repo(inner)?;
        }
        self.within(place)
    }

    /// The repository that an empty directory of another one becomes with its first name.
    pub(super) fn begin(
        &self,
        owner: &Arc<Repository>,
        dir: &RepoPath,
        name: &[u8],
        process: Process,
    ) -> FsResult<Option<Place>> {
        let Some(inside) = owner
            .modules()
            .inside(dir)
            .filter(|_| begins_repository(name))
        else {
            return Ok(None);
        };
        match owner.modules().check_gives_way(dir) {
            Err(FsError::NotEmpty) => return Ok(None),
            empty => empty?,
        }
        let begun = self.tree.names.begin_inside(owner, &inside, process)?;
        owner.modules().gave_way(dir);
        Ok(begun)
    }

    /// The repository that a rename moves as a whole, but for one within the namespace.
    pub(super) fn moved(
        &self,
        (parent, name): (u64, &[u8]),
        new_parent: u64,
    ) -> FsResult<Option<Arc<Repository>>> {
        let dirs = (self.tree.place(parent)?, self.tree.place(new_parent)?);
        match (&dirs, self.tree.child(parent, name)?) {
            ((Place::Name(_) | Place::Local(_), Place::Name(_) | Place::Local(_)), _) => Ok(None),
            (_, Place::Repo(repo, top)) if top.is_root() => Ok(Some(repo)),
            (_, _) => Ok(None),
        }
    }

    /// rename(2) of a whole repository from inside another one, to there, or both: one commit.
    pub(super) fn rename(
        &self,
        repo: &Arc<Repository>,
        (new_parent, new_name): (u64, &[u8]),
        replace: bool,
        process: Process,
    ) -> FsResult<()> {
        let target = self.tree.child(new_parent, new_name);
        let is_taken = target.is_ok_and(|target| self.tree.stat_place(&target).is_ok());
        if is_taken && !replace {
            return Err(FsError::Exists);
        }
        match self.tree.place(new_parent)? {
            Place::Name(dir) | Place::Local(dir) => {
                let source = Place::Repo(repo.clone(), RepoPath::root());
                let to = join_name(&dir, new_name)?;
                self.tree.names.local.check_movable(&to)?;
                if let Some(replaced) = self.tree.names.make_way(&source, &to, process)? {
                    self.tree.inodes.orphan(&replaced);
                }
                self.tree.names.move_out(repo, &to, process)
            }
            Place::Repo(owner, dir) => {
                self.move_inside(repo, owner, join(&dir, new_name)?, process)
            }
            Place::Beside(_) => Err(FsError::NotDirectory),
        }
    }

    fn move_inside(
        &self,
        repo: &Arc<Repository>,
        owner: Arc<Repository>,
        path: RepoPath,
        process: Process,
    ) -> FsResult<()> {
        let inside = owner.modules().inside(&path).ok_or(FsError::CrossRoom)?;
        let target = self.within(Place::Repo(owner.clone(), path.clone()))?;
        match &target {
            Place::Repo(there, top) if top.is_root() && there.id == repo.id => return Ok(()),
            Place::Repo(there, top) if top.is_root() => {
                self.tree.names.delete_emptied(there, process)?;
            }
            Place::Repo(..) | Place::Name(_) | Place::Local(_) | Place::Beside(_) => {
                owner.modules().check_gives_way(&path)?
            }
        }
        self.tree.inodes.orphan(&target);
        self.tree.names.move_inside(repo, &inside, process)?;
        owner.modules().gave_way(&path);
        Ok(())
    }
}
