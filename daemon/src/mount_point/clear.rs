//! Removing a mount whose daemon is gone.

use super::{MountPointError, is_dead, mounts_at, name_in_mount_table, show};
use nix::mount::{MntFlags, umount2};
use std::path::Path;
use std::process::Command;

/// What was found at a mount point without a daemon of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleared {
    /// A dead mount; it is gone now.
    DeadMount,
    /// A mount that answers, so somebody else's; it was left alone.
    Alive,
}

/// Clears a dead mount; leaves one that answers alone.
pub fn clear(path: &Path) -> Result<Cleared, MountPointError> {
    let at = name_in_mount_table(path)?;
    let mounts = mounts_at(&at).map_err(|source| MountPointError::Io {
        path: show(path),
        source,
    })?;
    if mounts.is_empty() {
        return Err(MountPointError::NotMounted(show(path)));
    }
    match std::fs::metadata(&at) {
        Err(error) if is_dead(&error) => detach(&at).map(|()| Cleared::DeadMount),
        _ => Ok(Cleared::Alive),
    }
}

/// Takes the mount out of the tree at once; open files go on.
pub(crate) fn detach(at: &Path) -> Result<(), MountPointError> {
    let refused = |reason: String| MountPointError::Refused {
        path: show(at),
        reason,
    };
    if nix::unistd::geteuid().is_root() {
        return umount2(at, MntFlags::MNT_DETACH).map_err(|errno| refused(errno.to_string()));
    }
    let output = Command::new("fusermount3")
        .arg("-uz")
        .arg("--")
        .arg(at)
        .output();
    let output = output.map_err(|error| refused(format!("fusermount3 -uz: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(refused(
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    ))
}
