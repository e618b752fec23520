//! What lies beneath a directory that somebody else writes to: the real directories of repositories, whose
//! users change them while the daemon works there, and repositories on a disk that are imported.
//!
//! Between two system calls a name there may become a symbolic link to a file of root's, a FIFO on which open(2)
//! waits for ever, or another file. So no path name is resolved by the kernel's usual rules:
//!
//! - Every lookup begins at the descriptor of the directory and goes through openat2(2), which refuses to leave the
//!   directory, to follow any symbolic link and to enter another mount.
//! - A file is opened without waiting, and only a regular one is handed out.
//! - Modes, owners and times are changed on descriptors ([`Node`]), names by the *at calls on the descriptor of
//!   their parent.
//!
//! This is the only module that may make such calls: `disallowed-methods` in `fs/clippy.toml` forbids them elsewhere.
#![expect(
    clippy::disallowed_methods,
    reason = "the rules that others keep by not calling these are written here"
)]

mod at;
mod holes;
mod node;
mod remove;

pub use at::At;
pub(crate) use holes::{MostlyHoles, mostly_holes};
pub use node::Node;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How names are looked up.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// A directory that somebody else writes to, held open. Its own path may be renamed meanwhile.
///
/// The paths that its methods take are relative and have no `..`.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

/// The directory in which a name is.
enum Parent<'a> {
    This(BorrowedFd<'a>),
    Below(OwnedFd),
}

impl AsFd for Parent<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::This(fd) => *fd,
            Self::Below(fd) => fd.as_fd(),
        }
    }
}

impl Dir {
    /// Symbolic links in its own path are followed as they are now, and not if they change meanwhile.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = std::fs::canonicalize(path)?;
        let links = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let fd = rustix::fs::openat2(rustix::fs::CWD, &path, DIRECTORY, Mode::empty(), links)?;
        Ok(Self { fd, path })
    }

    /// Where it was when it was opened: for messages, and for programs that are started in it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What stands under a name, a symbolic link itself.
    pub fn node(&self, at: &Path) -> io::Result<Node> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let fd = self.resolve(at, flags).map_err(not_a_directory)?;
        Ok(Node::of(fd))
    }

    /// Whether a regular file, of which this is known, is mostly holes. Only a large one is opened;
    /// one that is gone by then has none.
    pub fn is_mostly_holes(&self, at: &Path, meta: &Metadata) -> io::Result<bool> {
        if meta.len() <= holes::SMALL {
            return Ok(false);
        }
        match self.file(at) {
            Ok(file) => Ok(mostly_holes(&file)?.is_some()),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// lstat(2); `None` when it is not there.
    pub fn stat(&self, at: &Path) -> io::Result<Option<Metadata>> {
        match self.node(at) {
            Ok(node) => Ok(Some(node.stat()?)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a regular file for reading. An error when anything else stands there.
    pub fn file(&self, at: &Path) -> io::Result<File> {
        self.regular(at, OFlags::RDONLY)
    }

    /// The same for reading and, where permissions of this process allow, writing.
    pub(crate) fn file_to_write(&self, at: &Path) -> io::Result<File> {
        match self.regular(at, OFlags::RDWR) {
            Err(e)
                if matches!(
                    e.raw_os_error(),
                    Some(libc::EACCES | libc::EROFS | libc::EPERM)
                ) =>
            {
                self.file(at)
            }
            opened => opened,
        }
    }

    /// A small regular file; no more of it than `most` bytes.
    pub fn read(&self, at: &Path, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file(at)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn regular(&self, at: &Path, access: OFlags) -> io::Result<File> {
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match self.resolve(at, flags) {
            Ok(fd) => File::from(fd),
            Err(e) => return Err(self.irregular(at, e)),
        };
        let kind = file.metadata()?.file_type();
        match kind.is_file() {
            true => Ok(file),
            false if kind.is_dir() => Err(errno(libc::EISDIR)),
            false => Err(errno(libc::EINVAL)),
        }
    }

    /// What open(2) says of a link or a socket may be as well about a directory above.
    fn irregular(&self, at: &Path, error: io::Error) -> io::Error {
        match error.raw_os_error() {
            Some(libc::ELOOP | libc::ENXIO) => match self.node(at) {
                Ok(_) => errno(libc::EINVAL),
                Err(error) => error,
            },
            _ => error,
        }
    }

    /// Makes a regular file that is not there yet, and opens it for reading and writing. Others cannot open it before
    /// it has got another mode.
    pub fn create(&self, at: &Path) -> io::Result<File> {
        let (parent, name) = self.parent(at)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = rustix::fs::openat(parent, name, flags | OFlags::CLOEXEC, mode)?;
        Ok(File::from(fd))
    }

    /// mkdir(2), with mode 0700.
    pub fn mkdir(&self, at: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(at)?;
        Ok(rustix::fs::mkdirat(parent, name, Mode::RWXU)?)
    }

    /// symlink(2) beneath the directory.
    pub fn symlink(&self, target: &Path, at: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(at)?;
        Ok(rustix::fs::symlinkat(target, parent, name)?)
    }

    /// mknod(2) of FIFOs and sockets, with mode 0600.
    pub fn mknod(&self, at: &Path, kind: FileType) -> io::Result<()> {
        let (parent, name) = self.parent(at)?;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(rustix::fs::mknodat(parent, name, kind, mode, 0)?)
    }

    /// unlink(2) beneath the directory.
    pub fn unlink(&self, at: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(at)?;
        Ok(rustix::fs::unlinkat(parent, name, AtFlags::empty())?)
    }

    /// rmdir(2) beneath the directory.
    pub fn rmdir(&self, at: &Path) -> io::Result<()> {
        let (parent, name) = self.parent(at)?;
        Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
    }

    /// rename(2) within the directory.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename_to(from, self, to)
    }

    /// The same to a name in another directory.
    pub(crate) fn rename_to(&self, from: &Path, other: &Dir, to: &Path) -> io::Result<()> {
        self.rename_with(from, other, to, RenameFlags::empty())
    }

    /// rename(2) that fails when the target is there.
    pub fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename_with(from, self, to, RenameFlags::NOREPLACE)
    }

    fn rename_with(
        &self,
        from: &Path,
        other: &Dir,
        to: &Path,
        flags: RenameFlags,
    ) -> io::Result<()> {
        let (from_parent, from) = self.parent(from)?;
        let (to_parent, to) = other.parent(to)?;
        Ok(rustix::fs::renameat_with(
            from_parent,
            from,
            to_parent,
            to,
            flags,
        )?)
    }

    /// link(2); of a symbolic link, to the link itself.
    pub fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_parent, from) = self.parent(from)?;
        let (to_parent, to) = self.parent(to)?;
        Ok(rustix::fs::linkat(
            from_parent,
            from,
            to_parent,
            to,
            AtFlags::empty(),
        )?)
    }

    /// The names in a directory, and their types.
    pub fn list(&self, at: &Path) -> io::Result<Vec<(OsString, FileType)>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let dir = self.resolve(at, flags).map_err(not_a_directory)?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(dir)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            names.push((name.to_owned(), entry.file_type()));
        }
        // Some file systems do not say.
        for (name, kind) in &mut names {
            if *kind == FileType::Unknown
                && let Some(meta) = self.stat(&at.join(&*name))?
            {
                *kind = kind_of(&meta);
            }
        }
        Ok(names)
    }

    /// fsync(2) of a directory.
    pub fn sync(&self, at: &Path) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let dir = self.resolve(at, flags).map_err(not_a_directory)?;
        Ok(rustix::fs::fsync(dir)?)
    }

    /// The directory in which a name is, and the name.
    fn parent<'a>(&self, at: &'a Path) -> io::Result<(Parent<'_>, &'a OsStr)> {
        let name = at.file_name().ok_or_else(|| errno(libc::EINVAL))?;
        let above = at.parent().filter(|above| !above.as_os_str().is_empty());
        let parent = match above {
            None => Parent::This(self.fd.as_fd()),
            Some(above) => Parent::Below(self.resolve(above, DIRECTORY).map_err(not_a_directory)?),
        };
        Ok((parent, name))
    }

    fn resolve(&self, at: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let at = match at.as_os_str().is_empty() {
            true => Path::new("."),
            false => at,
        };
        let flags = flags | OFlags::CLOEXEC;
        Ok(rustix::fs::openat2(
            &self.fd,
            at,
            flags,
            Mode::empty(),
            RESOLVE,
        )?)
    }
}

/// A directory, for lookups in it.
const DIRECTORY: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The type of a file.
pub(crate) fn kind_of(meta: &Metadata) -> FileType {
    use std::os::unix::fs::MetadataExt;
    FileType::from_raw_mode(meta.mode())
}

/// Whether nothing stands under a name.
pub fn is_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

/// A symbolic link above a name is no directory.
fn not_a_directory(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::ELOOP) => errno(libc::ENOTDIR),
        _ => error,
    }
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}
