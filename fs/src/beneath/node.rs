//! One file, held open without being opened: its attributes are read and changed whatever becomes of its name.
#![expect(
    clippy::disallowed_methods,
    reason = "on a descriptor; /proc/self/fd names it, and nothing that others write"
)]

use rustix::fs::{AtFlags, Gid, Mode, Timestamps, Uid};
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// What stood under a name when it was looked up: a file of any type.
#[derive(Debug)]
pub struct Node(File);

impl Node {
    /// `fd` was opened with O_PATH.
    pub(super) fn of(fd: OwnedFd) -> Self {
        Self(File::from(fd))
    }

    /// fstat(2) of the descriptor.
    pub fn stat(&self) -> io::Result<Metadata> {
        self.0.metadata()
    }

    /// readlink(2) of the descriptor.
    pub fn readlink(&self) -> io::Result<PathBuf> {
        let target = rustix::fs::readlinkat(&self.0, "", Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()).into())
    }

    /// fchmod(2), which does not take such a descriptor. EOPNOTSUPP for a symbolic link.
    pub fn chmod(&self, mode: u32) -> io::Result<()> {
        let this = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        Ok(rustix::fs::chmod(this, Mode::from_raw_mode(mode & 0o7777))?)
    }

    /// fchown(2) of the descriptor.
    pub fn chown(&self, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        Ok(rustix::fs::chownat(
            &self.0,
            "",
            uid,
            gid,
            AtFlags::EMPTY_PATH,
        )?)
    }

    /// futimens(3) of the descriptor.
    pub fn set_times(&self, times: &Timestamps) -> io::Result<()> {
        Ok(rustix::fs::utimensat(
            &self.0,
            "",
            times,
            AtFlags::EMPTY_PATH,
        )?)
    }
}
