//! Small things written so that they survive a power failure.
//!
//! A name survives when its directory was synced after it was made; the bytes when
//! the file was synced before it got the name.

use std::fs::{self, File};
use std::io::{self, Write};
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

/// Writes a file: after a crash the old bytes are there or the new ones, and the
/// new ones once this has returned.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    rename(&temporary, path)
}

/// rename(2) of a file, of which the same holds as of [`write()`].
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    File::open(from)?.sync_all()?;
    fs::rename(from, to)?;
    sync_dir(to.parent().unwrap_or(Path::new("/")))
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
