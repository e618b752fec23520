//! Directories that survive a power failure: a name does when the directory above was synced after it was made.
#![expect(
    clippy::disallowed_methods,
    reason = "for directories of the daemon's own"
)]

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Creates a directory and what is missing above it; all of their names are
/// durable when this returns. Of a directory that is there already, nothing is synced.
pub fn create_dir_all(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = dir.parent().unwrap_or(Path::new("/"));
    create_dir_all(above)?;
    match fs::create_dir(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => sync_dir(above),
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
