//! gc: what was deleted, and what nobody owns, is kept for a while and then removed from the store.
//!
//! Deleted object files and repositories lie in the replicator's trash ([`crate::trash`]), their bytes
//! untouched in the store. [`Gc::collect`] (`gitmoor gc`, and a thread of the daemon) removes what has been
//! there for longer than `trash-keep`, together with what a crash left in the store
//! between a PUT and its commit.
//!
//! The same object pushed again has the same key, perhaps at the very moment in
//! which gc deletes it. So `collect` deletes only keys that have a tombstone
//! before, and the publisher names only keys that have none; the argument why no
//! interleaving loses bytes stands in the replicator's `state/tombstones.rs`. It needs
//! three things from here: a key is deleted only while it has a tombstone
//! (`Collector::delete`), it is said to be deleted only after the store has answered, and
//! one collection runs at a time (`Gc::collecting`). A crash anywhere in between
//! leaves tombstones behind, whose keys the next collection deletes.

mod background;
mod collect;
mod leftovers;
mod metrics;

pub(crate) use background::start;
pub use collect::{Collected, Sweep};
pub(crate) use metrics::register as register_metrics;

use gitmoor_fs::FileSystem;
use parking_lot::Mutex;
use std::sync::Arc;

/// Removes what was in the trash for long enough.
pub struct Gc {
    fs: Arc<FileSystem>,
    /// Held by a collection: one at a time.
    collecting: Mutex<()>,
}

impl Gc {
    /// Of this file system.
    pub(crate) fn new(fs: Arc<FileSystem>) -> Self {
        Self {
            fs,
            collecting: Mutex::default(),
        }
    }
}
