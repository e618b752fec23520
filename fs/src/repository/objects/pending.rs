//! Finished files of one repository that are not catalogued yet. What comes and goes here
//! is counted in [`Staging`].

use super::seal::Seal;
use super::staging::Staging;
use gitmoor_model::{Digest, RepoPath};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

/// Tells a finished file from those that had its name before, or get it later.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Generation(u64);

/// What is remembered of a finished file.
#[derive(Clone)]
pub(super) struct Finished {
    pub(super) generation: Generation,
    /// Of the bytes that were checked; `None` where no check could tell whether they are
    /// right.
    pub(super) digest: Option<Digest>,
    /// How many these were.
    pub(super) size: u64,
    pub(super) since: Instant,
    /// `None` of a name that git may give other bytes.
    pub(super) seal: Option<Arc<Seal>>,
}

impl Finished {
    pub(super) fn new(digest: Option<Digest>, size: u64, seal: Option<Arc<Seal>>) -> Self {
        Self {
            generation: Generation::default(),
            digest,
            size,
            since: Instant::now(),
            seal,
        }
    }
}

pub(super) struct Pending {
    files: BTreeMap<RepoPath, Finished>,
    last: Generation,
    /// Of all of them.
    bytes: u64,
    staging: Arc<Staging>,
}

impl Pending {
    pub(super) fn new(staging: Arc<Staging>) -> Self {
        Self {
            files: BTreeMap::new(),
            last: Generation::default(),
            bytes: 0,
            staging,
        }
    }

    /// It becomes the file of its name.
    pub(super) fn insert(&mut self, path: RepoPath, file: Finished) {
        self.staging.came(file.size);
        self.bytes += file.size;
        self.last = Generation(self.last.0 + 1);
        let generation = self.last;
        let file = Finished { generation, ..file };
        if let Some(old) = self.files.insert(path, file) {
            self.went(old.size);
        }
    }

    pub(super) fn remove(&mut self, path: &RepoPath) {
        if let Some(old) = self.files.remove(path) {
            self.went(old.size);
        }
    }

    /// Whether it is still this file that is pending under a name.
    pub(super) fn has(&self, path: &RepoPath, generation: Generation) -> bool {
        let file = self.files.get(path);
        file.is_some_and(|file| file.generation == generation)
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
