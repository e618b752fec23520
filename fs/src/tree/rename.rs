//! rename(2): between names of the namespace, within and between repositories, and in what only this machine has. What
//! cannot be one step is [`FsError::CrossRoom`]: mv(1) then copies.

use super::link::check_readable;
use super::{Place, Process, Tree, join, join_name};
use crate::error::{FsError, FsResult};
use crate::repository::objects::Named;
use crate::repository::{Between, Repository};
use gitmoor_model::{NamePath, RepoPath};
use std::sync::Arc;

/// A rename by a process.
pub(super) struct Rename<'t> {
    pub(super) tree: &'t Tree,
    /// Not with RENAME_NOREPLACE.
    pub(super) replace: bool,
    pub(super) process: Process,
}

impl Rename<'_> {
    /// From a name in a directory to one in another.
    pub(super) fn rename(
        &self,
        (dir, name): (Place, &[u8]),
        (new_dir, new_name): (Place, &[u8]),
    ) -> FsResult<()> {
        match (dir, new_dir) {
            (Place::Name(from) | Place::Local(from), Place::Name(to) | Place::Local(to)) => {
                self.in_namespace(&join_name(&from, name)?, &join_name(&to, new_name)?)
            }
            (Place::Repo(repo, from), Place::Repo(other, to)) => {
                self.in_repositories((repo, join(&from, name)?), (other, join(&to, new_name)?))
            }
            (Place::Name(_) | Place::Local(_), Place::Repo(..) | Place::Beside(_))
            | (Place::Repo(..), Place::Name(_) | Place::Local(_) | Place::Beside(_))
            | (Place::Beside(_), _) => Err(FsError::CrossRoom),
        }
    }

    fn in_repositories(
        &self,
        (repo, from): (Arc<Repository>, RepoPath),
        (other, to): (Arc<Repository>, RepoPath),
    ) -> FsResult<()> {
        let tree = self.tree;
        let caller = tree.caller(&other, self.process);
        let named = match repo.id == other.id {
            true => repo.rename(&from, &to, self.replace, &caller)?,
            false => {
                check_readable(tree, &Place::Repo(repo.clone(), from.clone()), self.process)?;
                let leaving = tree.caller(&repo, self.process);
                let between = Between {
                    from: (&repo, &leaving),
                    to: (&other, &caller),
                };
                between.rename(&from, &to, self.replace)?
            }
        };
        match named {
            Named::File => tree.renamed(&Place::Repo(repo, from), &Place::Repo(other, to)),
            // The kernel takes the lock file for the ref, and looks again.
            Named::Later => tree.inodes.orphan(&Place::Repo(repo, from)),
            Named::Copy => {
                tree.inodes.orphan(&Place::Repo(repo, from));
                tree.renew(&other, &to);
            }
        }
        Ok(())
    }

    fn in_namespace(&self, from: &NamePath, to: &NamePath) -> FsResult<()> {
        let names = &self.tree.names;
        names.local.check_movable(from)?;
        names.local.check_movable(to)?;
        let source = names.named(from)?;
        if from == to {
            return Ok(());
        }
        match (&source, names.local.covers(to)) {
            (Place::Local(_), true) => {
                names.rename_local((from, to), self.replace, self.process)?
            }
            (Place::Beside(_), false) => {
                let actor = names.actor(self.process);
                names.beside.rename(from, to, self.replace, actor)?;
            }
            (Place::Name(_), false) | (Place::Repo(..), _) => {
                return self.directory(&source, from, to);
            }
            (Place::Local(_), false) | (Place::Beside(_) | Place::Name(_), true) => {
                return Err(FsError::CrossRoom);
            }
        }
        let target = match source {
            Place::Local(_) => Place::Local(to.clone()),
            Place::Name(_) | Place::Beside(_) | Place::Repo(..) => Place::Beside(to.clone()),
        };
        self.tree.renamed(&source, &target);
        Ok(())
    }

    /// Of a repository, which may come from where only this machine has files, or go there; or of a directory.
    fn directory(&self, source: &Place, from: &NamePath, to: &NamePath) -> FsResult<()> {
        let (names, inodes) = (&self.tree.names, &self.tree.inodes);
        if let Some(replaced) = names.make_way(source, to, self.process)? {
            inodes.orphan(&replaced);
        }
        names.rename(from, to, self.process)?;
        if let Place::Name(_) = source {
            let (from, to) = (Place::Name(from.clone()), Place::Name(to.clone()));
            inodes.rename(&from, &to, None);
        }
        Ok(())
    }
}
