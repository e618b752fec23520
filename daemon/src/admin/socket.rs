//! Where the socket is, and how to name it: `sockaddr_un` holds 107 bytes, a data
//! directory may be deeper, so both sides go through a descriptor of the directory.

use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

const NAME: &str = "admin.sock";

pub(crate) fn socket_path(data: &Path) -> PathBuf {
    data.join(NAME)
}

/// Connects to the daemon of a data directory.
pub(super) fn connect(data: &Path) -> io::Result<UnixStream> {
    let dir = File::open(data)?;
    UnixStream::connect(through(&dir, NAME))
}

/// Makes the socket of a data directory that the caller owns, replacing what a
/// dead daemon left. It is born in a directory only we can enter and moves to its
/// place once its mode is set, so that nobody else can connect in between.
pub(super) fn bind(data: &Path) -> io::Result<UnixListener> {
    let nest = data.join("admin.new");
    remove_nest(&nest)?;
    DirBuilder::new().mode(0o700).create(&nest)?;
    let dir = File::open(&nest)?;
    let listener = UnixListener::bind(through(&dir, NAME))?;
    std::fs::set_permissions(nest.join(NAME), Permissions::from_mode(0o600))?;
    std::fs::rename(nest.join(NAME), data.join(NAME))?;
    remove_nest(&nest)?;
    Ok(listener)
}

/// Removes the socket's name; done by its owner on leaving.
pub(super) fn unlink(data: &Path) {
    // A stale name is harmless: connecting to it is refused, and the next daemon replaces it.
    let _ = std::fs::remove_file(data.join(NAME));
}

fn through(dir: &File, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))
}

fn remove_nest(nest: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(nest) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
