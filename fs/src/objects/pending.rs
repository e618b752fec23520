//! Finished files of one repository that are not catalogued yet. What comes and goes here
//! is counted in [`Staging`].

use super::staging::Staging;
use gitmoor_replicator::model::{Digest, RepoPath};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

/// What is remembered of a finished file.
#[derive(Clone, Copy)]
pub(super) struct Finished {
    /// Of the bytes that were checked; `None` where no check could tell whether they are
    /// right.
    pub(super) digest: Option<Digest>,
    /// How many these were.
    pub(super) size: u64,
    pub(super) since: Instant,
}

pub(super) struct Pending {
    files: BTreeMap<RepoPath, Finished>,
    /// Of all of them.
    bytes: u64,
    staging: Arc<Staging>,
}

impl Pending {
    pub(super) fn new(staging: Arc<Staging>) -> Self {
        let files = BTreeMap::new();
        Self {
            files,
            bytes: 0,
            staging,
        }
    }

    pub(super) fn insert(&mut self, path: RepoPath, file: Finished) {
        self.staging.came(file.size);
        self.bytes += file.size;
        if let Some(old) = self.files.insert(path, file) {
            self.went(old.size);
        }
    }

    pub(super) fn remove(&mut self, path: &RepoPath) {
        if let Some(old) = self.files.remove(path) {
            self.went(old.size);
        }
    }

    fn went(&mut self, size: u64) {
        self.staging.went(size);
        self.bytes -= size;
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Deref for Pending {
    type Target = BTreeMap<RepoPath, Finished>;

    fn deref(&self) -> &Self::Target {
        &self.files
    }
}

/// The repository is closed: it is deleted.
impl Drop for Pending {
    fn drop(&mut self) {
        self.files
            .values()
            .for_each(|old| self.staging.went(old.size));
    }
}
