//! A disk that is soon full.

use crate::requirement::{Requirement, need};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::path::Path;
use tempfile::TempDir;

/// A memory file system of limited size, unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Only root may mount one.
    #[track_caller]
    pub fn of(mebibytes: u32) -> Option<SmallDisk> {
        let dir = tempfile::Builder::new().prefix("gitmoor-disk-").tempdir();
        let dir = dir.expect("temporary directory");
        let size = format!("size={mebibytes}m");
        let kind = Some("tmpfs");
        let mounted = mount(
            kind,
            dir.path(),
            kind,
            MsFlags::empty(),
            Some(size.as_str()),
        );
        let mounted =
            mounted.map_err(|error| format!("a small disk cannot be mounted here: {error}"));
        need(Requirement::Mount, mounted)?;
        Some(SmallDisk(dir))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(self.path(), MntFlags::MNT_DETACH);
    }
}
