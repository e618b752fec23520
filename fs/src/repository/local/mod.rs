//! The local room: what a clone would keep to itself, as plain files of this
//! machine. The same directory holds what the other rooms have in the making
//! (temporary objects, lock files), so that git gets a real file system's
//! semantics for it.
//!
//! [`Files`] is that directory, whose users write to it all the while: see [`crate::beneath`]. What is made for it, and
//! what is taken out of it, passes through a directory beside it that only the daemon sees ([`Private`]).

mod private;
mod steady;

pub(crate) use private::Private;

use crate::beneath::{At, Dir, Node, is_absent, kind_of};
use crate::error::{FsError, FsResult};
use gitmoor_model::RepoPath;
use parking_lot::RwLock;
use rustix::fs::{FileType, Timestamps};
use std::ffi::OsStr;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// The mode of a top directory that nobody has given another.
pub(crate) const DIRECTORY_MODE: u32 = 0o755;

/// The longest name of a damaged file that is moved aside; file systems allow 255 bytes.
const LONGEST_ASIDE: usize = 200;

/// Whose file a new one becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// The real directory of one repository, `<repo id>/files` in the directory of all of them, or of another home.
#[derive(Debug)]
pub(crate) struct Files {
    homes: Arc<Dir>,
    home: PathBuf,
    /// Makes every private name new.
    made: AtomicU64,
    /// Held exclusively while the time of a directory is in between: see [`steady`].
    times: RwLock<()>,
}

impl Files {
    /// Makes the directory if it is not there, and clears what an earlier life left in the making beside it.
    pub(crate) fn open(homes: Arc<Dir>, home: &str) -> FsResult<Self> {
        let files = Self {
            homes,
            home: PathBuf::from(home),
            made: AtomicU64::new(0),
            times: RwLock::default(),
        };
        files.make_home()?;
        Ok(files)
    }

    fn make_home(&self) -> FsResult<()> {
        self.make_own(&self.home)?;
        self.clear_private()?;
        let top = self.within(&RepoPath::root());
        if self.homes.stat(&top)?.is_some() {
            return Ok(());
        }
        let made = self.private()?;
        self.homes.mkdir(made.at())?;
        self.homes.node(made.at())?.chmod(DIRECTORY_MODE)?;
        self.homes.rename(made.at(), &top)?;
        Ok(self.homes.sync(&self.home)?)
    }

    /// A directory of the daemon's own, whose name is durable then.
    fn make_own(&self, dir: &Path) -> FsResult<()> {
        match self.homes.mkdir(dir) {
            Ok(()) => Ok(self.homes.sync(dir.parent().unwrap_or(Path::new("")))?),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Where a path is, from the directory of all repositories.
    pub(crate) fn within(&self, path: &RepoPath) -> PathBuf {
        let top = self.home.join("files");
        match path.is_root() {
            true => top,
            false => top.join(OsStr::from_bytes(path.as_bytes())),
        }
    }

    /// What stands there, held open; an error when nothing does.
    pub(crate) fn node(&self, path: &RepoPath) -> FsResult<Node> {
        Ok(self.homes.node(&self.within(path))?)
    }

    /// lstat(2); `None` when it is not there.
    pub(crate) fn stat(&self, path: &RepoPath) -> FsResult<Option<Metadata>> {
        Ok(self.steady().stat(&self.within(path))?)
    }

    /// utimensat(2).
    pub(crate) fn set_times(&self, path: &RepoPath, times: &Timestamps) -> FsResult<()> {
        let homes = self.steady();
        Ok(homes.node(&self.within(path))?.set_times(times)?)
    }

    /// Opens an existing regular file for reading and, where permissions of the
    /// daemon allow, writing: one open file then serves every later handle.
    pub(crate) fn open_to_write(&self, path: &RepoPath) -> FsResult<File> {
        Ok(self.homes.file_to_write(&self.within(path))?)
    }

    /// Opens a regular file for reading; `None` when nothing is there, an error when anything else is.
    pub(crate) fn open_to_read(&self, path: &RepoPath) -> FsResult<Option<File>> {
        if_there(self.homes.file(&self.within(path)))
    }

    /// open(2) with O_CREAT|O_EXCL.
    pub(crate) fn create(&self, path: &RepoPath, mode: u32, owner: Owner) -> FsResult<File> {
        self.make_parents(path)?;
        let file = self.steady().create(&self.within(path))?;
        let gid = self.group(path, owner, &file.metadata()?)?;
        give(&file, Owner { gid, ..owner }, mode)?;
        Ok(file)
    }

    pub(crate) fn mkdir(&self, path: &RepoPath, mode: u32, owner: Owner) -> FsResult<()> {
        self.make_parents(path)?;
        self.steady().mkdir(&self.within(path))?;
        self.give_new(path, FileType::Directory, owner, Some(mode))
    }

    pub(crate) fn symlink(&self, target: &Path, path: &RepoPath, owner: Owner) -> FsResult<()> {
        self.make_parents(path)?;
        self.steady().symlink(target, &self.within(path))?;
        self.give_new(path, FileType::Symlink, owner, None)
    }

    /// mkfifo(3) and sockets: hooks and fsmonitor use them.
    pub(crate) fn mknod(&self, path: &RepoPath, mode: u32, owner: Owner) -> FsResult<()> {
        self.make_parents(path)?;
        let kind = FileType::from_raw_mode(mode);
        self.steady().mknod(&self.within(path), kind)?;
        self.give_new(path, kind, owner, Some(mode))
    }

    /// Gives what was just made to the process that asked for it. The kernel holds the directory meanwhile, so that
    /// nobody else renames there; all the same it must be of the type that was made.
    fn give_new(
        &self,
        path: &RepoPath,
        kind: FileType,
        owner: Owner,
        mode: Option<u32>,
    ) -> FsResult<()> {
        let node = self.node(path)?;
        let meta = node.stat()?;
        if kind_of(&meta) != kind {
            return Err(FsError::NotFound);
        }
        let gid = self.group(path, owner, &meta)?;
        if (meta.uid(), meta.gid()) != (owner.uid, gid) {
            node.chown(Some(owner.uid), Some(gid))?;
        }
        // A set-group-id directory has passed that on to one that was made in it.
        let inherited = meta.mode() & libc::S_ISGID;
        match mode {
            Some(mode) => Ok(node.chmod(mode & 0o7777 | inherited)?),
            None => Ok(()),
        }
    }

    /// The group of a new file: a set-group-id directory has already given it its own, which stays.
    fn group(&self, path: &RepoPath, owner: Owner, made: &Metadata) -> FsResult<u32> {
        if made.gid() == owner.gid {
            return Ok(owner.gid);
        }
        let parent = path.parent().map(|parent| self.stat(&parent)).transpose()?;
        let keeps = parent
            .flatten()
            .is_some_and(|dir| dir.mode() & libc::S_ISGID != 0);
        Ok(if keeps { made.gid() } else { owner.gid })
    }

    /// Writes a new file and gives it this name, whatever had that before: nothing is written through what is there.
    pub(crate) fn put(
        &self,
        path: &RepoPath,
        bytes: &[u8],
        mode: u32,
        owner: Owner,
    ) -> FsResult<()> {
        self.make_parents(path)?;
        let made = self.private()?;
        let mut file = self.homes.create(made.at())?;
        file.write_all(bytes)?;
        give(&file, owner, mode & 0o777)?;
        Ok(self.steady().rename(made.at(), &self.within(path))?)
    }

    /// The same; after a crash the old bytes are there or the new ones, and the new ones once this has returned.
    pub(crate) fn put_durably(
        &self,
        path: &RepoPath,
        bytes: &[u8],
        mode: u32,
        owner: Owner,
    ) -> FsResult<()> {
        self.make_parents(path)?;
        let made = self.private()?;
        let mut file = self.homes.create(made.at())?;
        file.write_all(bytes)?;
        give(&file, owner, mode & 0o777)?;
        file.sync_all()?;
        let to = self.within(path);
        self.steady().rename(made.at(), &to)?;
        Ok(self.homes.sync(above(&to))?)
    }

    pub(crate) fn readlink(&self, path: &RepoPath) -> FsResult<Vec<u8>> {
        let target = self.node(path)?.readlink()?;
        Ok(target.into_os_string().into_vec())
    }

    pub(crate) fn unlink(&self, path: &RepoPath) -> FsResult<()> {
        Ok(self.steady().unlink(&self.within(path))?)
    }

    /// unlink(2) that does not mind an absent file.
    pub(crate) fn unlink_if_there(&self, path: &RepoPath) -> FsResult<()> {
        if_there(self.steady().unlink(&self.within(path))).map(drop)
    }

    pub(crate) fn rmdir(&self, path: &RepoPath) -> FsResult<()> {
        Ok(self.steady().rmdir(&self.within(path))?)
    }

    pub(crate) fn rename(&self, from: &RepoPath, to: &RepoPath) -> FsResult<()> {
        self.make_parents(to)?;
        Ok(self.steady().rename(&self.within(from), &self.within(to))?)
    }

    /// rename(2) of a regular file, of which the same holds as of [`Files::put_durably`].
    pub(crate) fn rename_durably(&self, from: &RepoPath, to: &RepoPath) -> FsResult<()> {
        let (from, to) = (self.within(from), self.within(to));
        self.homes.file(&from)?.sync_all()?;
        self.steady().rename(&from, &to)?;
        Ok(self.homes.sync(above(&to))?)
    }

    /// rename(2) of a file of another repository.
    pub(crate) fn rename_from(
        &self,
        other: &Files,
        from: &RepoPath,
        to: &RepoPath,
    ) -> FsResult<()> {
        self.make_parents(to)?;
        Ok(self
            .steady()
            .rename(&other.within(from), &self.within(to))?)
    }

    pub(crate) fn link(&self, from: &RepoPath, to: &RepoPath) -> FsResult<()> {
        self.make_parents(to)?;
        Ok(self.steady().link(&self.within(from), &self.within(to))?)
    }

    /// link(2) of a file of another repository.
    pub(crate) fn link_from(&self, other: &Files, from: &RepoPath, to: &RepoPath) -> FsResult<()> {
        self.make_parents(to)?;
        Ok(self.steady().link(&other.within(from), &self.within(to))?)
    }

    /// The names in a directory; none when it is not there.
    pub(crate) fn list(&self, dir: &RepoPath) -> FsResult<Vec<(Vec<u8>, FileType)>> {
        let entries = if_there(self.homes.list(&self.within(dir)))?;
        let named = |(name, kind): (std::ffi::OsString, _)| (name.into_vec(), kind);
        Ok(entries.into_iter().flatten().map(named).collect())
    }

    /// Reads a small regular file, see [`read_at_most`]; `None` when it is not there.
    pub(crate) fn read(&self, path: &RepoPath, most: u64) -> FsResult<Option<Vec<u8>>> {
        let file = self.open_to_read(path)?;
        file.map(|file| read_at_most(&file, most)).transpose()
    }

    /// Directories that exist because something replicated lies beneath them are
    /// made real when something local is put into them. They are as the top directory is.
    pub(crate) fn make_parents(&self, path: &RepoPath) -> FsResult<()> {
        let Some(parent) = path.parent() else {
            return Ok(());
        };
        if self.stat(&parent)?.is_some() {
            return Ok(());
        }
        self.make_parents(&parent)?;
        let (owner, mode) = (self.owner()?, self.top()?.mode());
        match self.steady().mkdir(&self.within(&parent)) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            made => made?,
        }
        self.give_new(&parent, FileType::Directory, owner, Some(mode))
    }

    /// lstat(2) of the top directory.
    pub(crate) fn top(&self) -> FsResult<Metadata> {
        self.stat(&RepoPath::root())?.ok_or(FsError::NotFound)
    }

    /// To whom the repository belongs.
    pub(crate) fn owner(&self) -> FsResult<Owner> {
        let (uid, gid) = self.top().map(|top| (top.uid(), top.gid()))?;
        Ok(Owner { uid, gid })
    }

    /// Moves a damaged file out of the tree, for a person to look at.
    pub(crate) fn set_aside(&self, path: &RepoPath) -> FsResult<PathBuf> {
        let dir = self.home.join("damaged");
        self.make_own(&dir)?;
        let name = path.to_string().replace('/', "_").into_bytes();
        let name = &name[name.len().saturating_sub(LONGEST_ASIDE)..];
        let aside = dir.join(OsStr::from_bytes(name));
        self.steady().rename(&self.within(path), &aside)?;
        Ok(self.homes.path().join(aside))
    }

    /// What was moved there.
    pub(crate) fn aside(&self) -> FsResult<Vec<PathBuf>> {
        let dir = self.home.join("damaged");
        let names = if_there(self.homes.list(&dir))?;
        let path = |(name, _)| self.homes.path().join(&dir).join(name);
        Ok(names.into_iter().flatten().map(path).collect())
    }

    /// fsync(2) of a directory, if it is there.
    pub(crate) fn fsync_dir(&self, path: &RepoPath) -> FsResult<()> {
        if_there(self.homes.sync(&self.within(path))).map(drop)
    }

    /// [`Files::take`] of a file that a program made for us in another directory.
    pub(crate) fn take_made(&self, at: &At, file: &File) -> FsResult<Option<Private>> {
        let private = self.private()?;
        at.rename(&self.homes, private.at())?;
        Ok(self.is_this(&private, file)?.then_some(private))
    }

    fn is_this(&self, private: &Private, file: &File) -> FsResult<bool> {
        let taken = self.homes.node(private.at())?.stat()?;
        Ok(is_one_file(&taken, &file.metadata()?))
    }
}

/// The mode of files that nobody gave one: who may do what with the top directory may do that with them.
pub(crate) fn file_like(directory: u32) -> u32 {
    directory & 0o666 | 0o600
}

/// Reads a file of a user's, whose length says nothing about what there is room for: one of more than
/// `most` bytes is EFBIG before a byte is read.
pub(crate) fn read_at_most(file: &File, most: u64) -> FsResult<Vec<u8>> {
    let too_large = FsError::TooLarge { most };
    if file.metadata()?.len() > most {
        return Err(too_large);
    }
    let mut bytes = Vec::new();
    // It may grow meanwhile.
    let read = file.take(most + 1).read_to_end(&mut bytes)?;
    match read as u64 > most {
        true => Err(too_large),
        false => Ok(bytes),
    }
}

/// Whether both are of one inode.
pub(crate) fn is_one_file(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// The owner first: a change of that takes set-user-id bits away.
fn give(file: &File, owner: Owner, mode: u32) -> io::Result<()> {
    let meta = file.metadata()?;
    if (meta.uid(), meta.gid()) != (owner.uid, owner.gid) {
        fchown(file, Some(owner.uid), Some(owner.gid))?;
    }
    file.set_permissions(Permissions::from_mode(mode & 0o7777))
}

fn above(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn if_there<T>(result: io::Result<T>) -> FsResult<Option<T>> {
    match result {
        Ok(there) => Ok(Some(there)),
        Err(e) if is_absent(&e) => Ok(None),
        Err(e) => Err(e.into()),
    }
}
