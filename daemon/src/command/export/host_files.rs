//! Files that hosts keep in a repository, as they are.

use super::{ExportError, git};
use gitmoor_fs::beneath::Dir;
use gitmoor_fs::git_config;
use gitmoor_model::{RepoPath, host_file};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Copies them from the mount. They are regular files there.
pub(super) fn copy(source: &Path, made: &Path) -> Result<(), ExportError> {
    let dir = Dir::open(source).map_err(ExportError::file(source))?;
    for path in names(&dir)? {
        let at = Path::new(OsStr::from_bytes(path.as_bytes()));
        let text = match dir.read(at, host_file::MOST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            text => text.map_err(ExportError::file(&source.join(at)))?,
        };
        let to = made.join(at);
        let above = to.parent().unwrap_or(made);
        fs::create_dir_all(above).map_err(ExportError::file(above))?;
        git::write(&to, &text)?;
    }
    Ok(())
}

fn names(dir: &Dir) -> Result<Vec<RepoPath>, ExportError> {
    let branches = RepoPath::new(host_file::BRANCHES).expect("a valid path");
    let at = Path::new(OsStr::from_bytes(host_file::BRANCHES));
    let listed = match dir.list(at) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(ExportError::file(&dir.path().join(at)))?,
    };
    let listed = listed.into_iter();
    let listed = listed.filter_map(|(name, _)| branches.join(name.as_bytes()));
    let listed = listed.filter(host_file::is_one);
    let settings = match dir.read(Path::new(git_config::SETTINGS), git_config::LARGEST) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        settings => settings.map_err(ExportError::file(dir.path()))?,
    };
    let added = git_config::added_host_files(&settings);
    Ok(host_file::named().chain(listed).chain(added).collect())
}
