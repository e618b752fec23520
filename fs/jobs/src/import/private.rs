//! What an import needs of this machine's disk: `imports/<repo id>` in the data directory. What was fetched stays
//! there until the import has come to its end; everything else can be made again.
#![expect(
    clippy::disallowed_methods,
    reason = "the private directory of an import is the daemon's own"
)]

use gitmoor_fs::{FileSystem, FsError};
use gitmoor_model::{ImportStage, RepoId};
use gitmoor_replicator::read;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

pub(super) struct Private(PathBuf);

impl Private {
    /// Of an import; what is left of those that are over is removed.
    pub(super) fn open(fs: &FileSystem, id: RepoId) -> Result<Self, FsError> {
        let home = fs.config().data.join("imports");
        let own = Self(home.join(id.to_string()));
        make(&own.0)?;
        // Listed before: whose row is not there yet has no directory either.
        let there = fs::read_dir(&home)?.collect::<io::Result<Vec<_>>>()?;
        let imports = read::imports(fs.replica().view())?.into_iter();
        let live = imports.filter(|import| import.stage != ImportStage::Done);
        let live: Vec<_> = live.map(|import| import.id.to_string().into()).collect();
        for entry in there {
            if entry.path() != own.0 && !live.contains(&entry.file_name()) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(own)
    }

    /// A directory that stays until the end.
    pub(super) fn kept(&self, name: &str) -> io::Result<PathBuf> {
        let dir = self.0.join(name);
        make(&dir)?;
        Ok(dir)
    }

    pub(super) fn fresh(&self, name: &str) -> io::Result<PathBuf> {
        match fs::remove_dir_all(self.0.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => self.kept(name),
        }
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.0)
    }
}

fn make(dir: &PathBuf) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}
