//! A name beside a repository's directory, in one that only the daemon sees: for a file that gets a name in the
//! repository when it is whole, and for one that was taken out of it.

use super::{Files, Owner, give, if_there, read_at_most};
use crate::beneath::Dir;
use crate::error::{FsError, FsResult};
use gitmoor_model::RepoPath;
use std::fs::{File, FileTimes, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Beside the repository's directory.
const PRIVATE: &str = "private";

/// See the module. What has the name when this is dropped is removed.
#[derive(Debug)]
pub(crate) struct Private {
    homes: Arc<Dir>,
    at: PathBuf,
}

impl Private {
    pub(super) fn new(homes: Arc<Dir>, at: PathBuf) -> Self {
        Self { homes, at }
    }

    /// From the directory of all repositories.
    pub(super) fn at(&self) -> &Path {
        &self.at
    }

    /// Where it is. Nobody else writes to the directories above.
    pub(crate) fn path(&self) -> PathBuf {
        self.homes.path().join(&self.at)
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // It has another name now, or is a leftover that the next start clears.
        let _ = self.homes.unlink(&self.at);
    }
}

impl Files {
    /// A file of [`Files::private_dir`], open for reading.
    pub(crate) fn open_private(&self, made: &Path) -> FsResult<File> {
        let name = made.file_name().ok_or(FsError::Invalid)?;
        Ok(self.homes.file(&self.home.join(PRIVATE).join(name))?)
    }

    /// Such a file is not needed.
    pub(crate) fn remove_private(&self, made: &Path) -> FsResult<()> {
        let name = made.file_name().ok_or(FsError::Invalid)?;
        Ok(self.homes.unlink(&self.home.join(PRIVATE).join(name))?)
    }

    /// A private file that `write` fills, however much that is.
    pub(crate) fn make(
        &self,
        mode: u32,
        owner: Owner,
        write: impl FnOnce(&mut File) -> FsResult<()>,
    ) -> FsResult<Private> {
        let made = self.private()?;
        let mut file = self.homes.create(made.at())?;
        write(&mut file)?;
        give(&file, owner, mode & 0o777)?;
        Ok(made)
    }

    /// A private copy of a file that was just opened, with its mode and its times, open for reading.
    pub(crate) fn copy(&self, file: &File) -> FsResult<(Private, File)> {
        let (made, meta) = (self.private()?, file.metadata()?);
        let mut copy = self.homes.create(made.at())?;
        io::copy(&mut &*file, &mut copy)?;
        copy.set_permissions(Permissions::from_mode(meta.mode() & 0o777))?;
        let times = FileTimes::new().set_accessed(meta.accessed()?);
        copy.set_times(times.set_modified(meta.modified()?))?;
        let copy = self.homes.file(made.at())?;
        Ok((made, copy))
    }

    /// A small file beside the repository's directory, which only the daemon sees; `None` when it is not there.
    pub(crate) fn noted(&self, name: &str, most: u64) -> FsResult<Option<Vec<u8>>> {
        let file = if_there(self.homes.file(&self.home.join(name)))?;
        file.map(|file| read_at_most(&file, most)).transpose()
    }

    /// Writes it: after a crash it is the old or the new one.
    pub(crate) fn note(&self, name: &str, text: &[u8]) -> FsResult<()> {
        let made = self.private()?;
        let mut file = self.homes.create(made.at())?;
        file.write_all(text)?;
        file.sync_all()?;
        self.homes.rename(made.at(), &self.home.join(name))?;
        Ok(self.homes.sync(&self.home)?)
    }

    /// A private name that nothing has.
    pub(crate) fn private(&self) -> FsResult<Private> {
        let n = self.made.fetch_add(1, Ordering::Relaxed).to_string();
        let dir = self.make_private()?;
        Ok(Private::new(self.homes.clone(), dir.join(n)))
    }

    /// The directory of private names. Nobody else writes to it or above it; what is left in it goes at the next start.
    pub(crate) fn private_dir(&self) -> FsResult<PathBuf> {
        Ok(self.homes.path().join(self.make_private()?))
    }

    fn make_private(&self) -> FsResult<PathBuf> {
        let dir = self.home.join(PRIVATE);
        self.make_own(&dir)?;
        Ok(dir)
    }

    /// Takes a directory out of the repository, and removes it with all that is in it: whether it was there.
    pub(crate) fn remove_all(&self, path: &RepoPath) -> FsResult<bool> {
        if !self.stat(path)?.is_some_and(|meta| meta.is_dir()) {
            return Ok(false);
        }
        // To move a directory takes the right to write in it.
        self.node(path)?.chmod(0o700)?;
        let taken = self.private()?;
        self.steady().rename(&self.within(path), taken.at())?;
        self.homes.remove_all(taken.at())?;
        Ok(true)
    }

    pub(super) fn clear_private(&self) -> FsResult<()> {
        let dir = self.home.join(PRIVATE);
        for (name, kind) in if_there(self.homes.list(&dir))?.into_iter().flatten() {
            let left = dir.join(name);
            match kind.is_dir() {
                true => self.homes.remove_all(&left)?,
                false => self.homes.unlink(&left)?,
            }
        }
        Ok(())
    }

    /// Gives a finished file of [`Files::private_dir`] a name in the repository, and to whom that belongs.
    pub(crate) fn put_private(&self, made: &Path, path: &RepoPath) -> FsResult<()> {
        let made = self.given(made, path)?;
        Ok(self.steady().rename(&made, &self.within(path))?)
    }

    /// The same, unless something has the name by now: whether that is not so.
    pub(crate) fn put_private_new(&self, made: &Path, path: &RepoPath) -> FsResult<bool> {
        let made = self.given(made, path)?;
        match self.steady().rename_new(&made, &self.within(path)) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            renamed => Ok(renamed.map(|()| true)?),
        }
    }

    /// A private file, the repository's owner's, that is about to get a name.
    fn given(&self, made: &Path, name: &RepoPath) -> FsResult<PathBuf> {
        self.make_parents(name)?;
        let made = made.file_name().ok_or(FsError::Invalid)?;
        let made = self.home.join(PRIVATE).join(made);
        let Owner { uid, gid } = self.owner()?;
        let node = self.homes.node(&made)?;
        let meta = node.stat()?;
        if (meta.uid(), meta.gid()) != (uid, gid) {
            node.chown(Some(uid), Some(gid))?;
        }
        Ok(made)
    }
}
