//! What `--fix` does, each without a loss.

use crate::mount_point;
use serde::Serialize;
use std::io;
use std::path::PathBuf;

/// A mend that needs nobody's judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fix {
    /// Take a dead mount out of the tree.
    Unmount(PathBuf),
    /// Remove a file that a dead daemon or git left.
    Remove(PathBuf),
    /// The same of a directory with everything in it.
    RemoveAll(PathBuf),
}

impl Fix {
    /// As a question.
    pub(crate) fn question(&self) -> String {
        match self {
            Self::Unmount(at) => format!("Clear the dead mount at {}?", at.display()),
            Self::Remove(path) => format!("Remove {}?", path.display()),
            Self::RemoveAll(path) => {
                format!("Remove {} with everything in it?", path.display())
            }
        }
    }

    pub(crate) fn apply(&self) -> io::Result<()> {
        match self {
            Self::Unmount(at) => mount_point::detach(at).map_err(io::Error::other),
            Self::Remove(path) => std::fs::remove_file(path),
            Self::RemoveAll(path) => std::fs::remove_dir_all(path),
        }
    }
}
