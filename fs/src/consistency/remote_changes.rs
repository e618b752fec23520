//! What changed elsewhere and is no matter of reading it anew, as the replicator tells it.

use gitmoor_model::Command;
use gitmoor_replicator::Observer;
use std::sync::atomic::{AtomicBool, Ordering};

/// Keeps it for the file system, which may end before the replicator does: whether repositories were
/// deleted. Which they are, who asks finds out from the replicator.
#[derive(Default)]
pub struct RemoteChanges(AtomicBool);

impl RemoteChanges {
    /// Whether any may have been since this was last asked.
    pub(crate) fn take_deleted(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Observer for RemoteChanges {
    fn applied(&self, command: &Command) {
        if matches!(command, Command::DeleteRepo { .. }) {
            self.replaced();
        }
    }

    fn replaced(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
