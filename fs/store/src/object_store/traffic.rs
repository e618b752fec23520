//! What went to and from the store, by repository: the keys of one begin with its id.

use gitmoor_model::RepoId;
use parking_lot::Mutex;
use std::collections::HashMap;

/// Bytes since the process started, of repositories that are there.
static MOVED: Mutex<Option<HashMap<RepoId, Moved>>> = Mutex::new(None);

/// Bytes of one repository.
#[derive(Clone, Copy, Default)]
pub struct Moved {
    pub received: u64,
    pub sent: u64,
}

/// An answer has come, or a body has gone.
pub(super) fn moved(key: &str, received: u64, sent: u64) {
    let of = key.split('/').next().and_then(|id| id.parse().ok());
    // What is of no repository: the store's marker, backups.
    let Some(id) = of else { return };
    let mut moved = MOVED.lock();
    let of = moved.get_or_insert_default().entry(id).or_default();
    of.received += received;
    of.sent += sent;
}

/// The repository is deleted.
pub fn forget(id: RepoId) {
    if let Some(moved) = MOVED.lock().as_mut() {
        moved.remove(&id);
    }
}

/// What was moved for one repository so far.
pub fn of(id: RepoId) -> Moved {
    let moved = MOVED.lock();
    let of = moved.as_ref().and_then(|moved| moved.get(&id));
    of.copied().unwrap_or_default()
}
