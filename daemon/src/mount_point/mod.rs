//! Checks a mount point before anything is opened, so that the common mistakes
//! get a sentence instead of an errno.

mod clear;
mod mount_info;

pub(crate) use clear::{Cleared, abort, clear, detach};
pub(crate) use mount_info::all_mounts;
pub use mount_info::{MountInfo, mounts_at, parse_mount_info};

use std::io;
use std::path::{Path, PathBuf};

/// Nothing can be mounted there, or nothing unmounted.
#[derive(Debug, thiserror::Error)]
pub enum MountPointError {
    /// There is nothing at the path.
    #[error("mount point {0}: does not exist; expected an empty directory (mkdir -p {0})")]
    Missing(String),
    /// It is something else.
    #[error("mount point {0}: is not a directory; expected an empty directory")]
    NotDirectory(String),
    /// There is something in it.
    #[error("mount point {0}: is not empty; expected an empty directory")]
    NotEmpty(String),
    /// It overlaps the data directory.
    #[error("mount point {0}: lies inside the data directory; expected a directory elsewhere")]
    InsideData(String),
    /// Something is mounted there.
    #[error("mount point {path}: {kind} is mounted there already (umount it, or choose another)")]
    Mounted {
        /// Path of the mount point.
        path: String,
        /// Type of the file system.
        kind: String,
    },
    /// A FUSE mount without its daemon.
    #[error(
        "mount point {0}: a dead mount is in the way (transport endpoint is not connected: its \
         daemon is gone); clear it with: gitmoor umount {0}"
    )]
    Dead(String),
    /// Nothing is mounted there.
    #[error("{0} is not mounted")]
    NotMounted(String),
    /// Nobody knows whose mount it is.
    #[error(
        "{path} is mounted, but by no daemon of the data directory {data}; name the right one \
         with --data (fusermount3 -u {path} ends its daemon in order as well)"
    )]
    OtherDaemon {
        /// Path of the mount point.
        path: String,
        /// The data directory asked.
        data: String,
    },
    /// The kernel or fusermount3 refuses.
    #[error("unmounting {path}: {reason}")]
    Refused {
        /// Path of the mount point.
        path: String,
        /// What the kernel or fusermount3 said.
        reason: String,
    },
    /// The kernel refuses to look at the path.
    #[error("mount point {path}: {source}")]
    Io {
        /// Path of the mount point.
        path: String,
        /// What the system call returned.
        source: io::Error,
    },
}

impl MountPointError {
    /// Whether another argument would help.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            Self::Missing(_) | Self::NotDirectory(_) | Self::NotEmpty(_) | Self::InsideData(_) => {
                true
            }
            Self::Mounted { .. }
            | Self::Dead(_)
            | Self::NotMounted(_)
            | Self::OtherDaemon { .. }
            | Self::Refused { .. }
            | Self::Io { .. } => false,
        }
    }
}

/// Whether a FUSE mount has lost its daemon. Attributes of its top the kernel may remember; statfs(2) it
/// always asks for.
fn is_dead_mount(at: &Path) -> bool {
    rustix::fs::statvfs(at).is_err_and(|error| is_dead(&error.into()))
}

/// Whether the error means a FUSE mount whose daemon is gone.
fn is_dead(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOTCONN)
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

/// Accepts an existing, empty directory on which nothing is mounted, outside of
/// the data directory. Returns it without symbolic links, as the kernel names it.
pub(crate) fn check(path: &Path, data: &Path) -> Result<PathBuf, MountPointError> {
    let meta = std::fs::metadata(path).map_err(|error| unusable(path, error))?;
    if !meta.is_dir() {
        return Err(MountPointError::NotDirectory(show(path)));
    }
    let real = path.canonicalize().map_err(|error| unusable(path, error))?;
    let mounts = mounts_at(&real).map_err(|error| unusable(path, error))?;
    if is_dead_mount(&real) {
        return Err(MountPointError::Dead(show(path)));
    }
    if let Some(top) = mounts.last() {
        return Err(MountPointError::Mounted {
            path: show(path),
            kind: top.kind.clone(),
        });
    }
    if real.starts_with(data.canonicalize().unwrap_or_else(|_| data.to_owned())) {
        return Err(MountPointError::InsideData(show(path)));
    }
    let mut entries = std::fs::read_dir(&real).map_err(|error| unusable(path, error))?;
    match entries.next() {
        Some(_) => Err(MountPointError::NotEmpty(show(path))),
        None => Ok(real),
    }
}

fn unusable(path: &Path, error: io::Error) -> MountPointError {
    match error.kind() {
        io::ErrorKind::NotFound => MountPointError::Missing(show(path)),
        io::ErrorKind::NotADirectory => MountPointError::NotDirectory(show(path)),
        _ if is_dead(&error) => MountPointError::Dead(show(path)),
        _ => MountPointError::Io {
            path: show(path),
            source: error,
        },
    }
}

/// The path as the kernel names it in the mount table. The last component is not
/// followed: on a dead mount even stat(2) fails.
pub(crate) fn name_in_mount_table(path: &Path) -> Result<PathBuf, MountPointError> {
    let error = |source| MountPointError::Io {
        path: show(path),
        source,
    };
    match path.canonicalize() {
        Ok(real) => Ok(real),
        Err(_) => {
            let path = std::path::absolute(path).map_err(error)?;
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Ok(path);
            };
            Ok(parent.canonicalize().map_err(error)?.join(name))
        }
    }
}
