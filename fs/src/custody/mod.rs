//! What was deleted, and what nobody owns: kept for a while, given back on demand,
//! and only then removed from the store.
//!
//! Deleted object files and repositories lie in the replicator's trash, their bytes
//! untouched in the store. [`FileSystem::trash`] lists them, `restore` gives them back, and
//! `collect` (`gitmoor gc`, and a thread of the daemon) removes what has been
//! there for longer than `trash-keep`, together with what a crash left in the store
//! between a PUT and its commit.
//!
//! The same object pushed again has the same key, perhaps at the very moment in
//! which gc deletes it. So `collect` deletes only keys that the replicator has condemned
//! before, and the publisher names only keys that are not; the argument why no
//! interleaving loses bytes stands in the replicator's `state/tombstones.rs`. It needs
//! three things from here: a key is deleted only while it is condemned
//! (`Collector::delete`), it is said to be deleted only after the store has answered, and
//! one collection runs at a time (`FileSystem::collecting`). A crash anywhere in between
//! leaves condemned keys behind, which the next collection deletes.

mod background;
mod collect;
mod leftovers;
mod metrics;
mod own;
mod restore;
mod trash;

pub(crate) use background::start;
pub use collect::{Collected, Sweep};
pub(crate) use metrics::register as register_metrics;
pub use own::{Copied, CopyError};
pub use restore::Restored;
pub use trash::TrashedRepo;

use gitmoor_model::Timestamp;
use std::time::{Duration, SystemTime};

/// Rows and keys that one raft entry carries at most.
const PER_ENTRY: usize = 1000;

/// Whether something that happened then is at least this old.
pub(crate) fn is_older(then: impl Into<SystemTime>, age: Duration) -> bool {
    then.into()
        .checked_add(age)
        .is_some_and(|end| end <= SystemTime::now())
}

/// For reports: seconds since 1970.
fn seconds(time: Timestamp) -> i64 {
    time.secs
}
