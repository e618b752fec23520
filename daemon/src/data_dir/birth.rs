//! Whether a data directory is still the one that it was: a copy of a directory is a second one, and two that come from
//! one must not both be the master of their store.
//!
//! `birth` is a file that says when it was born, by the file system that it is on, which nobody can set: a copy says
//! when the original was. Where file systems do not know times of birth it says its inode number instead.
//! A snapshot of a whole disk is not told by this; the claims in the store tell that
//! ([`gitmoor_fs::owner`]).

use super::{DataDir, DataDirError, failed, write_made};
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

/// `birth` of a data directory.
pub(crate) struct Birth(PathBuf);

impl Birth {
    pub(super) fn of(dir: &DataDir) -> Self {
        Self(dir.path().join("birth"))
    }

    /// Whether this may be a copy of another data directory, or was moved to another disk. The first to ask writes
    /// down that it is none.
    pub(crate) fn is_copy(&self) -> Result<bool, DataDirError> {
        let path = &self.0;
        let reading = || format!("reading {}", path.display());
        match fs::read_to_string(path) {
            Ok(text) => {
                let found = fs::metadata(path).map_err(failed(reading))?;
                Ok(text != birth(&found))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.mark_original().map(|()| false)
            }
            Err(error) => Err(failed(reading)(error)),
        }
    }

    /// From here on it is the original.
    pub(crate) fn mark_original(&self) -> Result<(), DataDirError> {
        write_made(&self.0, |file| Ok(birth(&file.metadata()?).into_bytes()))
    }
}

fn birth(file: &Metadata) -> String {
    let born = file.created().ok();
    match born.and_then(|born| born.duration_since(UNIX_EPOCH).ok()) {
        Some(born) => format!("born {}.{:09}\n", born.as_secs(), born.subsec_nanos()),
        None => format!("inode {}\n", file.ino()),
    }
}
