//! What can go wrong in the cache.

use crate::object_store::StoreError;
use std::io;
use std::path::Path;
use std::time::Duration;

/// The cache cannot be opened, or a file in it.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The disk of the cache failed.
    #[error("{context}: {source}")]
    Local {
        /// What was being done, with the path.
        context: String,
        /// What the system call returned.
        source: io::Error,
    },
    /// The catalog's description of the object makes no sense.
    #[error("the catalog describes {key} with {actual} block digests instead of {expected}")]
    BadObject {
        /// Key of the object.
        key: String,
        /// Digests its size calls for.
        expected: u64,
        /// How many digests the object has.
        actual: u64,
    },
}

impl CacheError {
    pub(super) fn local(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let context = format!("{doing} {}", path.display());
        move |source| Self::Local { context, source }
    }
}

/// A read has no bytes to give.
#[derive(Debug, thiserror::Error)]
pub enum CacheReadError {
    /// The store refuses, or has no such object.
    #[error(transparent)]
    Store(StoreError),
    /// The store could not be reached for as long as a read waits.
    #[error("gave up reading {key} after {waited:?}: {reason}")]
    TimedOut {
        /// Key of the object.
        key: String,
        /// How long it tried.
        waited: Duration,
        /// Why the last attempt failed.
        reason: String,
    },
    /// The process that read it is ending.
    #[error("reading {key} was interrupted")]
    Interrupted {
        /// Key of the object.
        key: String,
    },
    /// The store gave wrong bytes, and again when asked a second time.
    #[error("{store} holds wrong bytes: block {block} of {key} does not match its digest")]
    Corrupt {
        /// The store, as [`crate::object_store::ObjectStore::describe`] names it.
        store: String,
        /// Key of the object.
        key: String,
        /// Which block, from 0.
        block: u32,
    },
}
