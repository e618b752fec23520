//! Names directly under the mount that are directories of this machine (the setting `local`): what a host keeps
//! beside its repositories and no other machine needs, of any size and kind.
//!
//! Each is a real directory, `local/<name>/files` in the data directory, whose users write to it as to that of a
//! repository ([`Files`]): the daemon follows no symbolic link in it. A repository beneath such a name is one like any
//! other. The namespace has it under its whole path, and of the same name in the real directory nothing is seen.

use crate::beneath::Dir;
use crate::error::{FsError, FsResult};
use crate::repository::context::Context;
use crate::repository::local::{Files, Owner};
use crate::repository::{Body, Closing, Identity, NewAttributes, Opened};
use gitmoor_model::{NamePath, RepoPath};
use gitmoor_replicator::{NameEntry, read};
use gitmoor_store::durable;
use rustix::fs::FileType;
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::Path;
use std::sync::Arc;

/// See the module.
pub(crate) struct Local {
    shared: Arc<Context>,
    /// By their names.
    dirs: BTreeMap<Vec<u8>, Files>,
}

impl Local {
    /// Makes the directories that are not there.
    pub(crate) fn open(shared: Arc<Context>) -> FsResult<Self> {
        let names = &shared.config.local;
        if names.is_empty() {
            let dirs = BTreeMap::new();
            return Ok(Self { shared, dirs });
        }
        let path = shared.config.data.join("local");
        durable::create_dir_all(&path)?;
        let homes = Arc::new(Dir::open(&path)?);
        let open = |name: &NamePath| {
            let files = Files::open(homes.clone(), &name.to_string())?;
            Ok((name.as_bytes().to_vec(), files))
        };
        let dirs = names.iter().map(open).collect::<FsResult<_>>()?;
        Ok(Self { shared, dirs })
    }

    /// The names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.dirs.keys().map(Vec::as_slice)
    }

    /// Whether a path is one of the names, or beneath one.
    pub(crate) fn covers(&self, path: &NamePath) -> bool {
        !self.dirs.is_empty() && self.dirs.contains_key(top(path))
    }

    /// Whether it is one of the names itself.
    pub(crate) fn is_top(&self, path: &NamePath) -> bool {
        self.dirs.contains_key(path.as_bytes())
    }

    /// The directory that a path is in, and the path in there.
    fn at(&self, path: &NamePath) -> FsResult<(&Files, RepoPath)> {
        let top = top(path);
        let files = self.dirs.get(top).ok_or(FsError::NotFound)?;
        let rest = path.as_bytes().get(top.len() + 1..).unwrap_or_default();
        let rest = match rest.is_empty() {
            true => RepoPath::root(),
            false => RepoPath::new(rest).ok_or(FsError::Invalid)?,
        };
        Ok((files, rest))
    }

    /// What is there: [`FsError::NotFound`] when nothing is.
    pub(crate) fn stat(&self, path: &NamePath) -> FsResult<Metadata> {
        let (files, path) = self.at(path)?;
        files.stat(&path)?.ok_or(FsError::NotFound)
    }

    /// open(2) of a file that is there.
    pub(crate) fn open_file(&self, path: &NamePath, write: bool) -> FsResult<Opened> {
        let (files, path) = self.at(path)?;
        let file = match write {
            true => files.open_to_write(&path)?,
            false => files.open_to_read(&path)?.ok_or(FsError::NotFound)?,
        };
        let identity = Identity::real(&file.metadata()?);
        let mut opened = Opened::new(Body::Real(file), Closing::Plain);
        match write {
            true => opened.begin_writing(&self.shared.seals)?,
            false => opened.identity = Some(identity),
        }
        Ok(opened)
    }

    /// open(2) with O_CREAT of a file that is not there.
    pub(crate) fn create(&self, path: &NamePath, mode: u32, owner: Owner) -> FsResult<Opened> {
        self.check_free(path)?;
        let (files, path) = self.at(path)?;
        let file = files.create(&path, mode, owner)?;
        let mut opened = Opened::new(Body::Real(file), Closing::Plain);
        opened.begin_writing(&self.shared.seals)?;
        Ok(opened)
    }

    /// mkdir(2).
    pub(crate) fn mkdir(&self, path: &NamePath, mode: u32, owner: Owner) -> FsResult<()> {
        self.check_free(path)?;
        let (files, path) = self.at(path)?;
        files.mkdir(&path, mode, owner)
    }

    /// symlink(2).
    pub(crate) fn symlink(&self, target: &Path, path: &NamePath, owner: Owner) -> FsResult<()> {
        self.check_free(path)?;
        let (files, path) = self.at(path)?;
        files.symlink(target, &path, owner)
    }

    /// mknod(2) of FIFOs and sockets.
    pub(crate) fn mknod(&self, path: &NamePath, mode: u32, owner: Owner) -> FsResult<()> {
        if !matches!(mode & libc::S_IFMT, libc::S_IFIFO | libc::S_IFSOCK) {
            return Err(FsError::NotHere("there are no devices on the mount"));
        }
        self.check_free(path)?;
        let (files, path) = self.at(path)?;
        files.mknod(&path, mode, owner)
    }

    /// link(2) between two paths here.
    pub(crate) fn link(&self, from: &NamePath, to: &NamePath) -> FsResult<()> {
        self.check_free(to)?;
        let ((source, from), (target, to)) = (self.at(from)?, self.at(to)?);
        target.link_from(source, &from, &to)
    }

    /// readlink(2).
    pub(crate) fn readlink(&self, path: &NamePath) -> FsResult<Vec<u8>> {
        let (files, path) = self.at(path)?;
        files.readlink(&path)
    }

    /// unlink(2).
    pub(crate) fn unlink(&self, path: &NamePath) -> FsResult<()> {
        let (files, path) = self.at(path)?;
        files.unlink(&path)
    }

    /// rmdir(2).
    pub(crate) fn rmdir(&self, path: &NamePath) -> FsResult<()> {
        self.check_movable(path)?;
        if self.has_repositories(path)? {
            return Err(FsError::NotEmpty);
        }
        let (files, path) = self.at(path)?;
        files.rmdir(&path)
    }

    /// rename(2) between two paths here. A directory with repositories in it is copied by mv(1): each is a commit.
    pub(crate) fn rename(&self, from: &NamePath, to: &NamePath, replace: bool) -> FsResult<()> {
        if !replace && self.stat(to).is_ok() {
            return Err(FsError::Exists);
        }
        if self.has_repositories(from)? {
            return Err(FsError::CrossRoom);
        }
        if self.has_repositories(to)? {
            return Err(FsError::NotEmpty);
        }
        let ((source, from), (target, to)) = (self.at(from)?, self.at(to)?);
        target.rename_from(source, &from, &to)
    }

    /// Whether rename(2) may give the name to a repository: an empty directory that has it goes.
    pub(crate) fn make_way(&self, path: &NamePath) -> FsResult<()> {
        let (files, path) = self.at(path)?;
        match files.stat(&path)? {
            None => Ok(()),
            Some(meta) if meta.is_dir() => files.rmdir(&path),
            Some(_) => Err(FsError::NotDirectory),
        }
    }

    /// New attributes; those of size only of what nobody has open.
    pub(crate) fn set(&self, path: &NamePath, new: &NewAttributes) -> FsResult<()> {
        if let Some(size) = new.size {
            self.open_file(path, true)?.truncate(size)?;
        }
        let (files, path) = self.at(path)?;
        new.apply(files, &path)
    }

    /// The names in a directory, those of repositories not.
    pub(crate) fn list(&self, dir: &NamePath) -> FsResult<Vec<(Vec<u8>, FileType)>> {
        let (files, dir) = self.at(dir)?;
        files.list(&dir)
    }

    /// fsync(2) of a directory.
    pub(crate) fn fsync_dir(&self, path: &NamePath) -> FsResult<()> {
        let (files, path) = self.at(path)?;
        files.fsync_dir(&path)
    }

    fn check_free(&self, path: &NamePath) -> FsResult<()> {
        match read::name(self.shared.replica.view(), path)? {
            Some(NameEntry::Repo(_)) => Err(FsError::Exists),
            Some(NameEntry::Directory | NameEntry::Link(_) | NameEntry::File(_)) | None => Ok(()),
        }
    }

    /// Refuses to move or remove one of the names itself.
    pub(crate) fn check_movable(&self, path: &NamePath) -> FsResult<()> {
        match self.is_top(path) {
            true => Err(FsError::NotHere(
                "the setting local says that this directory is there",
            )),
            false => Ok(()),
        }
    }

    /// Whether a path is a repository's, or one is beneath.
    fn has_repositories(&self, path: &NamePath) -> FsResult<bool> {
        match read::name(self.shared.replica.view(), path)? {
            Some(NameEntry::Repo(_)) => return Ok(true),
            Some(NameEntry::Directory) => {}
            Some(NameEntry::Link(_) | NameEntry::File(_)) | None => return Ok(false),
        }
        for (name, _) in read::names_in(self.shared.replica.view(), path)? {
            if let Some(path) = path.join(&name)
                && self.has_repositories(&path)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The first component of a path.
fn top(path: &NamePath) -> &[u8] {
    let path = path.as_bytes();
    let end = path.iter().position(|&byte| byte == b'/');
    &path[..end.unwrap_or(path.len())]
}
