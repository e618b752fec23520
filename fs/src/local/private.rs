//! A name beside a repository's directory, in one that only the daemon sees: for a file that gets a name in the
//! repository when it is whole, and for one that was taken out of it.

use crate::beneath::Dir;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// See the module. What has the name when this is dropped is removed.
#[derive(Debug)]
pub struct Private {
    homes: Arc<Dir>,
    at: PathBuf,
}

impl Private {
    pub(super) fn new(homes: Arc<Dir>, at: PathBuf) -> Self {
        Self { homes, at }
    }

    /// From the directory of all repositories.
    pub(super) fn at(&self) -> &Path {
        &self.at
    }

    /// Where it is. Nobody else writes to the directories above.
    pub fn path(&self) -> PathBuf {
        self.homes.path().join(&self.at)
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // It has another name now, or is a leftover that the next start clears.
        let _ = self.homes.unlink(&self.at);
    }
}
