//! A disk that is soon full.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::path::Path;
use tempfile::TempDir;

/// A memory file system of limited size, unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Only root may mount one; `None`, said aloud, for everybody else.
    pub fn of(mebibytes: u32) -> Option<SmallDisk> {
        let dir = tempfile::Builder::new().prefix("gitmoor-disk-").tempdir();
        let dir = dir.expect("temporary directory");
        let size = format!("size={mebibytes}m");
        let kind = Some("tmpfs");
        match mount(
            kind,
            dir.path(),
            kind,
            MsFlags::empty(),
            Some(size.as_str()),
        ) {
            Ok(()) => Some(SmallDisk(dir)),
            Err(error) => {
                println!("skipped: a small disk cannot be mounted here: {error}");
                None
            }
        }
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
