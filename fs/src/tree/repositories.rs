//! The repositories of a daemon.
//!
//! Opening one proves what is staged in it, which takes as long as there is much of that. Meanwhile all others are there
//! for everybody: only those who want the same one wait.

use crate::error::FsResult;
use crate::repository::Repository;
use crate::repository::context::Context;
use gitmoor_model::RepoId;
use gitmoor_store::object_store::forget_moved;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long who asks for the state of all waits for those that are being opened, all together.
const SOON: Duration = Duration::from_secs(2);

/// The repositories that are open, one object each, for every mount and the publisher.
pub(crate) struct Repositories {
    shared: Arc<Context>,
    /// Held for a look only.
    open: Mutex<HashMap<RepoId, Arc<Slot>>>,
}

/// A repository that is open, or will be.
#[derive(Default)]
struct Slot {
    repository: OnceLock<Arc<Repository>>,
    /// Held by who opens it.
    opening: Mutex<()>,
}

impl Repositories {
    pub(crate) fn new(shared: Arc<Context>) -> Self {
        Self {
            shared,
            open: Mutex::default(),
        }
    }

    /// The repository of this id, opened at the first touch.
    pub(crate) fn get(&self, id: RepoId) -> FsResult<Arc<Repository>> {
        // Before others wait for the slot.
        self.shared.replica.load_repo(id, &|| false)?;
        let slot = self.open.lock().entry(id).or_default().clone();
        if slot.repository.get().is_none() {
            self.open_in(&slot, id)?;
        }
        let repository = slot.repository.get().expect("it is open");
        repository.init_late()?;
        Ok(repository.clone())
    }

    fn open_in(&self, slot: &Slot, id: RepoId) -> FsResult<()> {
        let _opening = slot.opening.lock();
        if slot.repository.get().is_none() {
            let repository = Arc::new(Repository::open(id, self.shared.clone())?);
            // Nobody else sets it while this is held.
            let _ = slot.repository.set(repository);
        }
        Ok(())
    }

    /// Those that are open.
    pub(crate) fn all(&self) -> Vec<Arc<Repository>> {
        let open = self.open.lock();
        let open = open.values().filter_map(|slot| slot.repository.get());
        open.cloned().collect()
    }

    /// The same, and those that are being opened, for which it waits a little: what is staged in one is known when
    /// it is open. One that takes longer is not among them.
    pub(crate) fn all_soon(&self) -> Vec<Arc<Repository>> {
        let slots: Vec<_> = self.open.lock().values().cloned().collect();
        let until = Instant::now() + SOON;
        let opened = |slot: &Arc<Slot>| {
            if slot.repository.get().is_none() {
                drop(slot.opening.try_lock_until(until));
            }
            slot.repository.get().cloned()
        };
        slots.iter().filter_map(opened).collect()
    }

    /// It is deleted.
    pub(crate) fn close(&self, id: RepoId) {
        self.open.lock().remove(&id);
        self.shared.read_versions.forget(id);
        forget_moved(id);
    }

    /// It, if it is open.
    pub(crate) fn if_open(&self, id: RepoId) -> Option<Arc<Repository>> {
        self.open.lock().get(&id)?.repository.get().cloned()
    }
}
