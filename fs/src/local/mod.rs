//! The local room: what a clone would keep to itself, as plain files of this
//! machine. The same directory holds what the other rooms have in the making
//! (temporary objects, lock files), so that git gets a real file system's
//! semantics for it.
//!
//! [`Files`] is that directory: operations by path, symbolic links never
//! followed.

pub mod config;

use crate::error::{FsError, FsResult};
use gitmoor_replicator::model::RepoPath;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Whose file a new one becomes.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// The real directory of one repository.
#[derive(Debug)]
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// The directory must exist when the first operation comes.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where a path is on disk.
    pub fn at(&self, path: &RepoPath) -> PathBuf {
        self.root.join(OsStr::from_bytes(path.as_bytes()))
    }

    /// lstat(2); `None` when it is not there.
    pub fn stat(&self, path: &RepoPath) -> FsResult<Option<Metadata>> {
        match fs::symlink_metadata(self.at(path)) {
            Ok(meta) => Ok(Some(meta)),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Opens an existing regular file for reading and, where permissions of the
    /// daemon allow, writing: one open file then serves every later handle.
    pub fn open(&self, path: &RepoPath) -> FsResult<File> {
        let at = self.at(path);
        let both = options().read(true).write(true).open(&at);
        match both {
            Err(e)
                if matches!(
                    e.raw_os_error(),
                    Some(libc::EACCES | libc::EROFS | libc::EPERM)
                ) =>
            {
                Ok(options().read(true).open(&at)?)
            }
            other => Ok(other?),
        }
    }

    /// open(2) with O_CREAT|O_EXCL.
    pub fn create(&self, path: &RepoPath, mode: u32, owner: Owner) -> FsResult<File> {
        self.make_parents(path)?;
        let at = self.at(path);
        let file = options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&at)?;
        self.own(path, owner)?;
        Ok(file)
    }

    /// mkdir(2).
    pub fn mkdir(&self, path: &RepoPath, mode: u32, owner: Owner) -> FsResult<()> {
        self.make_parents(path)?;
        fs::DirBuilder::new().mode(mode).create(self.at(path))?;
        self.own(path, owner)
    }

    /// symlink(2).
    pub fn symlink(&self, target: &Path, path: &RepoPath, owner: Owner) -> FsResult<()> {
        self.make_parents(path)?;
        std::os::unix::fs::symlink(target, self.at(path))?;
        self.own(path, owner)
    }

    /// mkfifo(3) and sockets: hooks and fsmonitor use them.
    pub fn mknod(&self, path: &RepoPath, mode: u32, owner: Owner) -> FsResult<()> {
        self.make_parents(path)?;
        let kind = rustix::fs::FileType::from_raw_mode(mode);
        let mode = rustix::fs::Mode::from_raw_mode(mode);
        rustix::fs::mknodat(rustix::fs::CWD, self.at(path), kind, mode, 0)
            .map_err(io::Error::from)?;
        self.own(path, owner)
    }

    /// readlink(2).
    pub fn readlink(&self, path: &RepoPath) -> FsResult<Vec<u8>> {
        Ok(fs::read_link(self.at(path))?
            .as_os_str()
            .as_bytes()
            .to_vec())
    }

    /// unlink(2).
    pub fn unlink(&self, path: &RepoPath) -> FsResult<()> {
        Ok(fs::remove_file(self.at(path))?)
    }

    /// unlink(2) that does not mind an absent file.
    pub fn unlink_if_there(&self, path: &RepoPath) -> FsResult<()> {
        match fs::remove_file(self.at(path)) {
            Err(e) if !is_absent(&e) => Err(e.into()),
            _ => Ok(()),
        }
    }

    /// rmdir(2).
    pub fn rmdir(&self, path: &RepoPath) -> FsResult<()> {
        Ok(fs::remove_dir(self.at(path))?)
    }

    /// rename(2).
    pub fn rename(&self, from: &RepoPath, to: &RepoPath) -> FsResult<()> {
        self.make_parents(to)?;
        Ok(fs::rename(self.at(from), self.at(to))?)
    }

    /// link(2).
    pub fn link(&self, from: &RepoPath, to: &RepoPath) -> FsResult<()> {
        self.make_parents(to)?;
        Ok(fs::hard_link(self.at(from), self.at(to))?)
    }

    /// The names in a directory; none when it is not there.
    pub fn list(&self, dir: &RepoPath) -> FsResult<Vec<(Vec<u8>, fs::FileType)>> {
        let entries = match fs::read_dir(self.at(dir)) {
            Ok(entries) => entries,
            Err(e) if is_absent(&e) => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
        };
        let named =
            |entry: fs::DirEntry| Ok((entry.file_name().as_bytes().to_vec(), entry.file_type()?));
        entries
            .map(|entry| named(entry?))
            .collect::<io::Result<_>>()
            .map_err(FsError::from)
    }

    /// Reads a small file; `None` when it is not there.
    pub fn read(&self, path: &RepoPath) -> FsResult<Option<Vec<u8>>> {
        match fs::read(self.at(path)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Directories that exist because something replicated lies beneath them are
    /// made real when something local is put into them.
    pub fn make_parents(&self, path: &RepoPath) -> FsResult<()> {
        let Some(parent) = path.parent() else {
            return Ok(());
        };
        let at = self.at(&parent);
        if fs::symlink_metadata(&at).is_ok() {
            return Ok(());
        }
        let owner = self.stat(&RepoPath::root())?.map(|top| Owner {
            uid: top.uid(),
            gid: top.gid(),
        });
        self.make_parents(&parent)?;
        fs::DirBuilder::new().mode(0o755).create(&at)?;
        owner.map_or(Ok(()), |owner| self.own(&parent, owner))
    }

    /// Gives a new file to the process that made it. A set-group-id directory
    /// has already given it its group, which stays.
    fn own(&self, path: &RepoPath, owner: Owner) -> FsResult<()> {
        let at = self.at(path);
        let meta = fs::symlink_metadata(&at)?;
        let parent = at.parent().map(fs::symlink_metadata).transpose()?;
        let keeps_group = parent.is_some_and(|dir| dir.mode() & libc::S_ISGID != 0);
        let gid = if keeps_group { meta.gid() } else { owner.gid };
        if (meta.uid(), meta.gid()) != (owner.uid, gid) {
            std::os::unix::fs::lchown(&at, Some(owner.uid), Some(gid))?;
        }
        Ok(())
    }

    /// Moves a damaged file out of the tree, for a person to look at.
    pub fn set_aside(&self, path: &RepoPath) -> FsResult<PathBuf> {
        let dir = self.root.with_file_name("damaged");
        fs::create_dir_all(&dir)?;
        let name = path.to_string().replace('/', "_");
        let aside = dir.join(name);
        fs::rename(self.at(path), &aside)?;
        Ok(aside)
    }

    /// What was moved there.
    pub fn aside(&self) -> FsResult<Vec<PathBuf>> {
        match fs::read_dir(self.root.with_file_name("damaged")) {
            Ok(entries) => Ok(entries
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<_>>()?),
            Err(e) if is_absent(&e) => Ok(Vec::new()),
            Err(e) => Err(e.into()),
        }
    }

    /// fsync(2) of a directory, if it is there.
    pub fn fsync_dir(&self, path: &RepoPath) -> FsResult<()> {
        match File::open(self.at(path)) {
            Ok(dir) => Ok(dir.sync_all()?),
            Err(e) if is_absent(&e) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// chmod(2).
    pub fn chmod(&self, path: &RepoPath, mode: u32) -> FsResult<()> {
        Ok(fs::set_permissions(
            self.at(path),
            fs::Permissions::from_mode(mode & 0o7777),
        )?)
    }

    /// lchown(2).
    pub fn chown(&self, path: &RepoPath, uid: Option<u32>, gid: Option<u32>) -> FsResult<()> {
        Ok(std::os::unix::fs::lchown(self.at(path), uid, gid)?)
    }

    /// utimensat(2), not following links.
    pub fn set_times(&self, path: &RepoPath, times: &rustix::fs::Timestamps) -> FsResult<()> {
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(rustix::fs::CWD, self.at(path), times, flags)
            .map_err(io::Error::from)?;
        Ok(())
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK);
    options
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}
