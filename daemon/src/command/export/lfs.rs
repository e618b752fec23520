//! Files of Git LFS, as they are.

use super::{ExportError, copy};
use gitmoor_fs::beneath::{Dir, is_absent};
use gitmoor_model::{RepoPath, name};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Copies them from the mount.
pub(super) fn copy(source: &Path, made: &Path) -> Result<(), ExportError> {
    let dir = Dir::open(source).map_err(ExportError::file(source))?;
    for path in files(&dir)? {
        let copied = dir.stat(&path).and_then(|meta| match meta {
            Some(meta) => copy::copy(&dir, &path, meta.len(), &made.join(&path)),
            None => Ok(()),
        });
        copied.map_err(ExportError::file(&source.join(&path)))?;
    }
    Ok(())
}

fn files(dir: &Dir) -> Result<Vec<PathBuf>, ExportError> {
    let mut files = Vec::new();
    let mut dirs = vec![PathBuf::from("lfs/objects")];
    while let Some(at) = dirs.pop() {
        let entries = match dir.list(&at) {
            Err(error) if is_absent(&error) => continue,
            entries => entries.map_err(ExportError::file(&dir.path().join(&at)))?,
        };
        for (name, kind) in entries {
            let at = at.join(name);
            let path = RepoPath::new(at.as_os_str().as_bytes());
            if kind.is_dir() && path.as_ref().is_some_and(name::is_fan_out) {
                dirs.push(at);
            } else if kind.is_file() && path.is_some_and(|path| name::lfs_oid(&path).is_some()) {
                files.push(at);
            }
        }
    }
    Ok(files)
}
