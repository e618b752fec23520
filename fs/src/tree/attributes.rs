//! What stat(2) says of an inode, and what chmod(2), chown(2), truncate(2) and utimensat(2) change.

use super::{Place, Process, Stat, Tree, stat};
use crate::error::{FsError, FsResult};
use crate::repository::{Identity, NewAttributes, Opened, Repository};
use gitmoor_model::RepoPath;
use gitmoor_model::room::is_value;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

impl Tree {
    pub(super) fn stat_place(&self, place: &Place) -> FsResult<(Stat, Option<Identity>)> {
        match place {
            Place::Name(_) => Ok((self.shown().of(Stat::namespace()), None)),
            Place::Repo(repo, path) => {
                let found = repo.find(path)?.ok_or(FsError::NotFound)?;
                let stat = self.shown().of(stat::of(path, &found, repo)?);
                Ok((stat, Identity::of(path, &found)))
            }
        }
    }

    /// getattr. A name may go, or get another file, at any moment; then the open files of the
    /// inode say what it is. The kernel does not tell which one an fstat(2) is of.
    pub fn getattr(&self, ino: u64, opened: Option<&Opened>) -> FsResult<Stat> {
        self.stat_inode(ino, opened).map_err(FsError::of_inode)
    }

    fn stat_inode(&self, ino: u64, opened: Option<&Opened>) -> FsResult<Stat> {
        if let Some(stat) = self.stat_draft(ino, opened) {
            return stat;
        }
        let named = match self.inodes.place(ino) {
            Some(place) => self.stat_place(&place),
            None => Err(FsError::NotFound),
        };
        match named {
            Ok((stat, identity)) if self.inodes.is(ino, identity) => return Ok(stat),
            Ok(_) | Err(FsError::NotFound) => {}
            Err(error) => return Err(error),
        }
        match (opened, self.inodes.an_opened(ino)) {
            (Some(opened), _) => self.stat_nameless(opened),
            (None, Some(opened)) => self.stat_nameless(&opened),
            (None, None) => Err(FsError::NotFound),
        }
    }

    pub(super) fn stat_nameless(&self, opened: &Opened) -> FsResult<Stat> {
        Ok(self.shown().of(stat::of_opened(opened, (0, 0))?))
    }

    pub(super) fn stat_opened(&self, opened: &Opened, repo: &Repository) -> FsResult<Stat> {
        Ok(self.shown().of(stat::of_opened(opened, repo.owner()?)?))
    }

    /// setattr.
    pub fn setattr(
        &self,
        ino: u64,
        new: &NewAttributes,
        opened: Option<&Opened>,
        process: Process,
    ) -> FsResult<Stat> {
        self.check_writable()?;
        let new = &self.shown().permitted(new)?;
        let set = self.set_inode(ino, new, opened, process);
        set.map_err(FsError::of_inode)
    }

    fn set_inode(
        &self,
        ino: u64,
        new: &NewAttributes,
        opened: Option<&Opened>,
        process: Process,
    ) -> FsResult<Stat> {
        if let Some(set) = self.set_draft(ino, new, opened, process) {
            set?;
            return self.stat_inode(ino, opened);
        }
        match (self.inodes.place(ino), opened) {
            (Some(Place::Repo(repo, path)), _) => {
                return self.set_in_repo(ino, (repo, path), new, opened, process);
            }
            (Some(Place::Name(_)), _)
                if new.mode.is_none() && new.uid.is_none() && new.gid.is_none() => {}
            (Some(Place::Name(_)), _) => {
                return Err(FsError::NotHere(
                    "directories of the namespace have no owners or modes of their own",
                ));
            }
            (None, Some(opened)) => set_nameless(opened, new)?,
            (None, None) => return Err(FsError::NotFound),
        }
        self.stat_inode(ino, opened)
    }

    fn set_in_repo(
        &self,
        ino: u64,
        (repo, path): (Arc<Repository>, RepoPath),
        new: &NewAttributes,
        opened: Option<&Opened>,
        process: Process,
    ) -> FsResult<Stat> {
        let caller = self.caller(&repo, process);
        let found = repo.set_attributes(&path, new, opened, &caller)?;
        let shown = match new.size.is_some() && is_value(&path) {
            true => self.truncated(ino, &Place::Repo(repo.clone(), path.clone())),
            false => self.stat_inode(ino, opened),
        };
        match shown {
            // Others have replaced or removed it since. It was set before that.
            Err(FsError::NotFound) => {
                let was = stat::of(&path, &found, &repo)?;
                Ok(self.shown().of(was.with(new)))
            }
            shown => shown,
        }
    }
}

fn set_nameless(opened: &Opened, new: &NewAttributes) -> FsResult<()> {
    if let Some(size) = new.size {
        opened.truncate(size)?;
    }
    let (Some(mode), Some(file)) = (new.mode, opened.real()) else {
        return Ok(());
    };
    Ok(file.set_permissions(Permissions::from_mode(mode & 0o7777))?)
}
