//! Hooks that this machine shows in a repository, in place of what that has in `hooks/`. Samples are no hooks, and are
//! the repository's; while it is being made, all is.

use super::Repository;
use crate::error::{FsError, FsResult};
use crate::hooks::HookTree;
use gitmoor_model::room::Type;
use gitmoor_model::{HOOKS, RepoPath, is_in_hooks, is_sample};
use gitmoor_replicator::read;
use std::collections::BTreeMap;
use std::sync::Arc;

/// See the module.
pub(crate) struct ShownHooks<'r> {
    pub(super) of: &'r Repository,
}

fn top() -> RepoPath {
    RepoPath::new(HOOKS).expect("a valid path")
}

impl ShownHooks<'_> {
    /// What is shown at a path, which may be nothing.
    pub(super) fn at(&self, path: &RepoPath) -> FsResult<Option<Arc<HookTree>>> {
        if !is_in_hooks(path) || is_sample(path.file_name()) {
            return Ok(None);
        }
        match self.of.shared.hooks.shown() {
            Some(hooks) if self.of.host_files.is_made()? => Ok(Some(hooks)),
            Some(_) | None => Ok(None),
        }
    }

    /// Fails where hooks are shown: nobody changes them through the mount.
    pub(super) fn check_none_at(&self, path: &RepoPath) -> FsResult<()> {
        match self.at(path)? {
            Some(_) => Err(FsError::HooksOfMachine),
            None => Ok(()),
        }
    }

    /// The same of what is to be removed: without `HEAD` it is no repository any more, and what it has had itself may
    /// be removed.
    pub(super) fn check_none_stays_at(&self, path: &RepoPath) -> FsResult<()> {
        match self.at(path)? {
            Some(_) if self.has_head()? => Err(FsError::HooksOfMachine),
            Some(_) | None => Ok(()),
        }
    }

    fn has_head(&self) -> FsResult<bool> {
        let head = RepoPath::new("HEAD").expect("a valid path");
        let view = self.of.shared.replica.view();
        Ok(read::reference(view, self.of.id, &head)?.is_some())
    }

    /// Puts what is shown in a directory into the place of what the repository has there.
    pub(super) fn list(&self, dir: &RepoPath, names: &mut BTreeMap<Vec<u8>, Type>) -> FsResult<()> {
        let shown = match dir.is_root() {
            true => self.at(&top())?,
            false => self.at(dir)?,
        };
        let Some(hooks) = shown else {
            return Ok(());
        };
        if !self.has_head()? {
            return Ok(());
        }
        if dir.is_root() {
            names.insert(HOOKS.to_vec(), Type::Directory);
            return Ok(());
        }
        names.retain(|name, _| is_sample(name));
        names.extend(hooks.list(dir));
        Ok(())
    }

    /// Others are shown than before, or are shown at all: the kernel is to look for them again.
    pub(crate) fn changed(&self) {
        (self.of.shared.renewed)(self.of.id, &top());
    }

    /// The same after a change of `config`: the repository may have been made just now.
    pub(super) fn changed_if_any(&self) {
        if self.of.shared.hooks.shown().is_some() {
            self.changed();
        }
    }
}
