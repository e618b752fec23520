//! What is asked for names beside repositories: small files and symbolic links of the namespace, and directories that
//! become repositories, whatever their names.

use super::{Expect, NamePath, RepoId, Timestamp};
use serde::{Deserialize, Serialize};

/// Bytes of a file beside repositories, at most.
pub const MOST_OF_FILE: u64 = 1 << 20;

/// Bytes of the target of a symbolic link, at most: Linux's PATH_MAX without the NUL.
pub const MOST_OF_TARGET: usize = 4095;

/// A change of one name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NameChange {
    /// Which.
    pub path: NamePath,
    /// What becomes of it.
    pub step: NameStep,
}

/// See [`NameChange`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NameStep {
    /// symlink(2): nothing may stand there.
    Link {
        /// Any bytes: nobody but the kernel follows the link.
        target: Vec<u8>,
    },
    /// Writes a whole file.
    Write {
        /// The compare of the compare-and-swap. What stands there is a file, whatever is expected.
        expect: Expect,
        /// Permission bits.
        mode: u32,
        /// The bytes, up to [`MOST_OF_FILE`].
        value: Vec<u8>,
    },
    /// chmod(2) and utimensat(2) of a file. The file keeps its version: who has it open goes on.
    Touch {
        /// Permission bits.
        mode: Option<u32>,
        /// Modification time.
        mtime: Option<Timestamp>,
    },
    /// unlink(2) of a file or a symbolic link.
    Unlink,
    /// rename(2) of whatever stands there, with all that is beneath it.
    Move {
        /// Where nothing stands …
        to: NamePath,
        /// … unless a file or a symbolic link takes the place of another.
        replace: bool,
    },
    /// An empty directory becomes an empty repository of this id.
    Become(RepoId),
    /// The repository of this id comes out of the trash.
    Restore(RepoId),
}

impl NameStep {
    /// A short name of its kind, for metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Link { .. } => "link_name",
            Self::Write { .. } => "write_name",
            Self::Touch { .. } => "touch_name",
            Self::Unlink => "unlink_name",
            Self::Move { .. } => "move_name",
            Self::Become(_) => "become_repo",
            Self::Restore(_) => "restore_name",
        }
    }
}
