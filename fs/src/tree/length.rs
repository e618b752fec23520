//! How long a path may be.

use crate::error::{FsError, FsResult};
use gitmoor_model::{NamePath, RepoPath};

pub(super) fn join(dir: &RepoPath, name: &[u8]) -> FsResult<RepoPath> {
    check_length(dir.as_bytes().len() + 1 + name.len())?;
    dir.join(name).ok_or_else(|| bad_name(name))
}

pub(super) fn join_name(dir: &NamePath, name: &[u8]) -> FsResult<NamePath> {
    check_length(dir.as_bytes().len() + 1 + name.len())?;
    dir.join(name).ok_or_else(|| bad_name(name))
}

/// Bytes of a path, from the top of its repository. The kernel takes less than 4096 for one on the disk, and
/// something stands before that.
const LONGEST: usize = 4000;

/// Each inode has its path in memory: whoever moves directories into one another makes none of any length.
pub(super) fn check_length(bytes: usize) -> FsResult<()> {
    match bytes <= LONGEST {
        true => Ok(()),
        false => Err(too_long()),
    }
}

fn bad_name(name: &[u8]) -> FsError {
    match name.len() > 255 {
        true => too_long(),
        false => FsError::Invalid,
    }
}

fn too_long() -> FsError {
    FsError::Io(std::io::Error::from_raw_os_error(libc::ENAMETOOLONG))
}
