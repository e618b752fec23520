//! The repositories of a daemon.

use crate::error::FsResult;
use crate::objects::Shared;
use crate::repository::Repository;
use gitmoor_replicator::model::RepoId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// The repositories that are open, one object each, for every mount and the publisher.
pub struct Repositories {
    shared: Arc<Shared>,
    open: Mutex<HashMap<RepoId, Arc<Repository>>>,
}

impl Repositories {
    /// None open yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            open: Mutex::default(),
        }
    }

    /// The repository of this id, opened at the first touch.
    pub fn get(&self, id: RepoId) -> FsResult<Arc<Repository>> {
        // Before others wait for the lock.
        self.shared.replica.hold(id, &|| false)?;
        let mut open = self.open.lock();
        if let Some(repository) = open.get(&id) {
            repository.furnish_late()?;
            return Ok(repository.clone());
        }
        let repository = Arc::new(Repository::open(id, self.shared.clone())?);
        open.insert(id, repository.clone());
        Ok(repository)
    }

    /// Those that are open.
    pub fn all(&self) -> Vec<Arc<Repository>> {
        self.open.lock().values().cloned().collect()
    }

    /// It is deleted.
    pub fn close(&self, id: RepoId) {
        self.open.lock().remove(&id);
    }

    /// It, if it is open.
    pub(super) fn if_open(&self, id: RepoId) -> Option<Arc<Repository>> {
        self.open.lock().get(&id).cloned()
    }
}
