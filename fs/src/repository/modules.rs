//! Other repositories inside this one. They are laid over the local directory `modules/`, which has what else is there.

use super::{Found, Repository};
use crate::error::{FsError, FsResult};
use gitmoor_model::room::Type;
use gitmoor_model::{Inside, ModulePath, RepoId, RepoPath, is_in_modules};
use gitmoor_replicator::read;

/// See the module.
pub(crate) struct Modules<'r> {
    pub(super) of: &'r Repository,
}

impl Modules<'_> {
    /// Where another repository may stand; `None` of a path that is not beneath `modules/`.
    pub(crate) fn inside(&self, path: &RepoPath) -> Option<Inside> {
        // Each operation comes here, and hardly any is in there.
        if !is_in_modules(path) {
            return None;
        }
        let (owner, module) = (self.of.id, ModulePath::new(path.clone())?);
        Some(Inside { owner, module })
    }

    /// The repository that stands at a path of this one.
    pub(crate) fn at(&self, path: &RepoPath) -> FsResult<Option<RepoId>> {
        let Some(inside) = self.inside(path) else {
            return Ok(None);
        };
        Ok(read::module(self.of.shared.replica.view(), &inside)?)
    }

    /// Whether other repositories stand beneath a path of this one.
    pub(super) fn any_beneath(&self, path: &RepoPath) -> FsResult<bool> {
        match is_in_modules(path) {
            true => Ok(read::has_modules_in(
                self.of.shared.replica.view(),
                self.of.id,
                path,
            )?),
            false => Ok(false),
        }
    }

    /// The directory that a repository inside is, or that is above one.
    pub(super) fn find(&self, path: &RepoPath) -> FsResult<Option<Found>> {
        let is_there = self.any_beneath(path)? || self.at(path)?.is_some();
        Ok(is_there.then_some(Found::Directory))
    }

    /// The names in a directory that repositories inside have, or directories above these.
    pub(super) fn names_in(&self, dir: &RepoPath) -> FsResult<Vec<(Vec<u8>, Type)>> {
        if !dir.is_root() && !is_in_modules(dir) {
            return Ok(Vec::new());
        }
        let names = read::modules_in(self.of.shared.replica.view(), self.of.id, dir)?;
        let names = names.into_iter().map(|(name, _)| (name, Type::Directory));
        Ok(names.collect())
    }

    /// Whether a directory of this machine cannot be renamed so. The repositories beneath it have names of their own.
    pub(super) fn keep_out(&self, from: &RepoPath, to: &RepoPath) -> FsResult<bool> {
        Ok(self.any_beneath(from)?
            || self.at(to)?.is_some()
            || is_in_modules(to) && self.has_links_in(from)?)
    }

    /// Whether there are symbolic links in a directory of this machine. One of them could come to stand where a
    /// repository inside has stood a moment before, and lead whoever looks for that elsewhere.
    fn has_links_in(&self, dir: &RepoPath) -> FsResult<bool> {
        for (name, kind) in self.of.files.list(dir)? {
            let within = dir.join(&name).filter(|_| kind.is_dir());
            if kind.is_symlink()
                || within.is_some_and(|dir| self.has_links_in(&dir).unwrap_or(true))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a repository may take a path from what stands there: an empty directory at most.
    pub(crate) fn check_gives_way(&self, path: &RepoPath) -> FsResult<()> {
        match self.of.find(path)? {
            None => Ok(()),
            Some(found) if !found.is_dir() => Err(FsError::NotDirectory),
            Some(_) if self.of.list(path)?.is_empty() => Ok(()),
            Some(_) => Err(FsError::NotEmpty),
        }
    }

    /// A repository has taken a path: what this machine has there would be in the way when it leaves. A directory
    /// that is not empty by now stays, and is hidden meanwhile.
    pub(crate) fn gave_way(&self, path: &RepoPath) {
        if let Err(error) = self.of.files.rmdir(path) {
            tracing::debug!(repo = %self.of.id, %path, %error, "nothing to remove beneath a repository inside");
        }
    }
}
