//! A name beneath a directory, to be looked up when it is needed.

use super::Dir;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// See the module. The directory is held open, the name is not.
#[derive(Clone, Debug)]
pub struct At {
    dir: Arc<Dir>,
    name: PathBuf,
}

impl At {
    /// A path in a directory.
    pub fn new(dir: &Arc<Dir>, name: impl Into<PathBuf>) -> Self {
        let (dir, name) = (dir.clone(), name.into());
        Self { dir, name }
    }

    /// Where it is, for messages.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }

    /// The last part of its path.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// Opens the file for reading, see [`Dir::file`].
    pub fn open(&self) -> io::Result<File> {
        self.dir.file(&self.name)
    }

    /// lstat(2) of the file.
    pub fn stat(&self) -> io::Result<Metadata> {
        self.dir.node(&self.name)?.stat()
    }

    /// rename(2) to a name in another directory.
    pub fn rename(&self, to: &Dir, name: &Path) -> io::Result<()> {
        self.dir.rename_to(&self.name, to, name)
    }
}
