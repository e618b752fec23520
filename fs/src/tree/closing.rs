//! Closing files, and names that get another file by it.

use super::{Place, Process, Tree};
use crate::error::FsResult;
use crate::repository::{Closing, Opened, Repository};
use gitmoor_model::RepoPath;
use std::sync::Arc;

impl Tree {
    /// flush: one descriptor is closed.
    pub fn flush(&self, ino: u64, opened: &Opened, process: Process) -> FsResult<()> {
        if matches!(opened.closing, Closing::Plain) {
            return Ok(());
        }
        match self.inodes.place(ino) {
            Some(Place::Repo(repo, _)) if self.commits(ino, opened, process) => {
                self.finishing(&repo, opened, || repo.flush(opened))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A close that may finish an object file. Whoever had that open, or mapped, keeps the inode, with pages that they
    /// may have written to; the name gets one of its own.
    fn finishing(
        &self,
        repo: &Arc<Repository>,
        opened: &Opened,
        close: impl FnOnce() -> FsResult<()>,
    ) -> FsResult<()> {
        let Closing::Finish(path) = &opened.closing else {
            return close();
        };
        let before = repo.objects().is_sealed(path);
        let closed = close();
        if !before && repo.objects().is_sealed(path) {
            self.renew(repo, path);
        }
        closed
    }

    /// A name has got another file without the kernel's knowing.
    pub(super) fn renew(&self, repo: &Arc<Repository>, path: &RepoPath) {
        self.inodes.orphan(&Place::Repo(repo.clone(), path.clone()));
        (self.shared.renewed)(repo.id, path);
    }

    /// A file was opened under an inode of which others have the file open that had the name before. The kernel, which
    /// mixes no two files in one inode, is to look again.
    pub fn part(&self, ino: u64, opened: &Opened) {
        let place = self.inodes.place(ino);
        if let Err(error) = self.release(ino, opened) {
            tracing::warn!(%error, "closed before it was written to");
        }
        if let Some(place) = place {
            self.inodes.orphan(&place);
        }
    }

    /// release: the last descriptor is closed.
    pub fn release(&self, ino: u64, opened: &Opened) -> FsResult<()> {
        let released = match opened.closing {
            Closing::Plain | Closing::Config | Closing::NewConfig => Ok(()),
            Closing::Commit(_) | Closing::Finish(_) => match self.inodes.place(ino) {
                Some(Place::Repo(repo, _)) => {
                    self.finishing(&repo, opened, || repo.release(opened))
                }
                Some(Place::Name(_)) | None => Ok(()),
            },
        };
        if opened.writes {
            self.inodes.written(ino);
        }
        released
    }
}
