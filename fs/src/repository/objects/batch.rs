//! What one publication catalogues: files that it has stored, and files that others lend.

use super::borrowed::Borrowed;
use super::pending::Generation;
use super::seal::Seal;
use gitmoor_model::{FileAdd, Loan, Relied, RepoId, RepoPath, Version};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A finished file that is stored.
#[derive(Clone)]
pub struct Stored {
    pub add: FileAdd,
    /// Of the file that it was.
    pub(super) generation: Generation,
    /// That file is what was stored for as long as this is there; `None` when a copy of it was.
    pub(super) seal: Option<Arc<Seal>>,
}

/// What one publication stored.
pub struct Batch {
    pub files: Vec<Stored>,
    /// What others lend, of which nothing is stored.
    pub(crate) borrowed: Vec<Borrowed>,
    /// Loose objects that are in one of its packs.
    pub(super) bundled: Vec<(RepoPath, Generation)>,
    /// [`gitmoor_replicator::read::tombstones_as_of`] before any of it was stored.
    pub looked: Version,
}

impl Batch {
    /// Its first files, stored and borrowed ones, which are no longer in it. What is bundled stays until the last pack
    /// is catalogued.
    pub fn split_off(&mut self, files: usize, borrowed: usize) -> Self {
        Self {
            files: self.files.drain(..files).collect(),
            borrowed: self.borrowed.drain(..borrowed).collect(),
            bundled: Vec::new(),
            looked: self.looked,
        }
    }

    /// For the catalog.
    pub fn adds(&self) -> Vec<FileAdd> {
        self.files.iter().map(|stored| stored.add.clone()).collect()
    }

    /// For the catalog, by lender.
    pub(crate) fn loans(&self) -> Vec<Loan> {
        let mut loans: BTreeMap<RepoId, Vec<Relied>> = BTreeMap::new();
        for borrowed in &self.borrowed {
            let (from, file) = borrowed.loan();
            loans.entry(from).or_default().push(file);
        }
        let loan = |(from, files)| Loan { from, files };
        loans.into_iter().map(loan).collect()
    }
}
