//! Finished files of one repository that are not catalogued yet, as they were when they were
//! checked. What comes and goes here is counted in [`Staging`].

use super::Stamp;
use super::staging::Staging;
use gitmoor_replicator::model::RepoPath;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

pub(super) struct Pending {
    files: BTreeMap<RepoPath, Option<Stamp>>,
    staging: Arc<Staging>,
}

impl Pending {
    pub(super) fn new(staging: Arc<Staging>) -> Self {
        let files = BTreeMap::new();
        Self { files, staging }
    }

    pub(super) fn insert(&mut self, path: RepoPath, stamp: Option<Stamp>) {
        self.staging.came(size(&stamp));
        if let Some(old) = self.files.insert(path, stamp) {
            self.staging.went(size(&old));
        }
    }

    pub(super) fn remove(&mut self, path: &RepoPath) {
        if let Some(old) = self.files.remove(path) {
            self.staging.went(size(&old));
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.values().map(size).sum()
    }
}

fn size(stamp: &Option<Stamp>) -> u64 {
    stamp.map_or(0, |stamp| stamp.size)
}

impl Deref for Pending {
    type Target = BTreeMap<RepoPath, Option<Stamp>>;

    fn deref(&self) -> &Self::Target {
        &self.files
    }
}

/// The repository is closed: it is deleted.
impl Drop for Pending {
    fn drop(&mut self) {
        self.files
            .values()
            .for_each(|old| self.staging.went(size(old)));
    }
}
