//! Removing a mount whose daemon is gone.

use super::{MountPointError, is_dead_mount, mounts_at, name_in_mount_table, show};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use std::path::Path;

/// What was found at a mount point without a daemon of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cleared {
    /// A dead mount; it is gone now.
    DeadMount,
    /// A mount that answers, so somebody else's; it was left alone.
    Alive,
}

/// Clears a dead mount; leaves one that answers alone.
pub(crate) fn clear(path: &Path) -> Result<Cleared, MountPointError> {
    let at = name_in_mount_table(path)?;
    let mounts = mounts_at(&at).map_err(|source| MountPointError::Io {
        path: show(path),
        source,
    })?;
    if mounts.is_empty() {
        return Err(MountPointError::NotMounted(show(path)));
    }
    match is_dead_mount(&at) {
        true => detach(&at).map(|()| Cleared::DeadMount),
        false => Ok(Cleared::Alive),
    }
}

/// Ends the connection of a mount whose daemon was killed while a thread of it waited in the
/// kernel for a lock of a client, which waits for the daemon's answer: nothing else ends
/// either of them. Clients get ENOTCONN; the mount is gone after this.
pub(crate) fn abort(at: &Path) -> Result<(), MountPointError> {
    let refused = |reason: String| MountPointError::Refused {
        path: show(at),
        reason,
    };
    if nix::unistd::geteuid().is_root() {
        return match umount2(at, MntFlags::MNT_FORCE) {
            Ok(()) => Ok(()),
            // In use: its connection has ended, but it is still there.
            Err(Errno::EBUSY) => detach(at),
            Err(errno) => Err(refused(errno.to_string())),
        };
    }
    let mounts = mounts_at(at).map_err(|error| refused(error.to_string()))?;
    let Some((_, minor)) = mounts.last().and_then(|top| top.device.split_once(':')) else {
        return Ok(());
    };
    let switch = format!("/sys/fs/fuse/connections/{minor}/abort");
    let by_root = format!("as root, run: umount -f {}", show(at));
    std::fs::write(&switch, "1")
        .map_err(|error| refused(format!("{switch}: {error}; {by_root}")))?;
    detach(at)
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
    let output = gitmoor_fs::program::of_the_system("fusermount3")
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
