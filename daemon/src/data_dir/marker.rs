//! The version marker of a data directory: one line, written before anything it
//! speaks of exists, so that a directory without it holds nothing yet.

use super::{DataDir, DataDirError, failed, write_durably};
use std::io::ErrorKind;

/// Name of the marker.
pub(super) const FILE: &str = "version";
/// The one version this program reads and writes.
pub(super) const CURRENT: &str = "gitmoor data 1";

/// Accepts the current version, marks a new directory, refuses all else.
pub(super) fn check_or_write(dir: &DataDir) -> Result<(), DataDirError> {
    let path = dir.path().join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim_end() == CURRENT => Ok(()),
        Ok(text) => Err(refused(dir, text.trim_end())),
        Err(error) if error.kind() == ErrorKind::NotFound && dir.replica().exists() => {
            Err(refused(dir, "(missing)"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            write_durably(&path, format!("{CURRENT}\n").as_bytes())
        }
        Err(error) => Err(failed(|| format!("reading {}", path.display()))(error)),
    }
}

fn refused(dir: &DataDir, found: &str) -> DataDirError {
    DataDirError::Version {
        path: dir.path().into(),
        found: found.chars().take(80).collect(),
    }
}
