//! Why a hooks directory is not used.

use gitmoor_model::{MOST_HOOK_BYTES, MOST_HOOK_FILES};
use std::io;
use std::path::PathBuf;

/// Why a hooks directory is not used.
#[derive(Debug, thiserror::Error)]
pub enum HooksError {
    /// The disk of this machine failed, or nothing is there.
    #[error("the hooks directory: {}: {source}", path.display())]
    Io {
        /// What was read.
        path: PathBuf,
        /// What the system call returned.
        source: io::Error,
    },
    /// Somebody else could have git run something.
    #[error(
        "the hooks directory: {} belongs to user {uid}; expected user {expected} or root: chown it",
        path.display()
    )]
    OtherOwner {
        /// What it is.
        path: PathBuf,
        /// Whose it is.
        uid: u32,
        /// The user of the daemon.
        expected: u32,
    },
    /// Somebody else could have git run something.
    #[error(
        "the hooks directory: others may write to {} (mode {:o}); expected that its owner alone may: chmod go-w",
        path.display(),
        mode & 0o7777
    )]
    Writable {
        /// What it is.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A symbolic link leads elsewhere.
    #[error(
        "the hooks directory: the symbolic link {} leads to {}, which is not surely in the directory; put a copy in its \
         place",
        path.display(),
        target.display()
    )]
    Leaves {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A FIFO, a socket or a device.
    #[error("the hooks directory: {} is no file, directory or symbolic link", path.display())]
    Irregular {
        /// What it is.
        path: PathBuf,
    },
    /// There is too much in it.
    #[error(
        "the hooks directory: {} has more than {} files, or more than {} MiB of them, or directories too deep in each \
         other",
        path.display(),
        MOST_HOOK_FILES,
        MOST_HOOK_BYTES >> 20
    )]
    TooLarge {
        /// The directory.
        path: PathBuf,
    },
}
