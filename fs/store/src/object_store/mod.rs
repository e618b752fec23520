//! The object store: immutable bytes under keys, in S3 or in a directory.
//!
//! A key is written once and never overwritten with other bytes (INV-11),
//! so nothing here needs versions, locks or listings to answer git. Calls block;
//! callers bring their own threads.

mod bandwidth;
mod dir;
mod key;
mod marker;
mod metrics;
mod offline;
mod open;
mod pace;
mod probe;
mod reach;
mod read_only;
mod retry;
mod s3;
mod timing;
mod traffic;
mod url;

pub use bandwidth::Bandwidth;
pub use dir::DirStore;
pub use offline::Offline;
pub use open::{StoreOpenError, id, open, open_read_only};
pub use probe::{PREFIX as PROBES, ahead};
pub use probe::{ProbeError, Probed, probe};
pub use retry::RetryPolicy;
pub use s3::{Encryption, S3Config, S3Credentials, S3Settings, S3Store};
pub use timing::{StoreTimes, time};
pub use url::{BadStoreUrl, StoreUrl};

pub use metrics::register as register_metrics;
pub use reach::check as check_reach;
pub use traffic::{forget as forget_moved, of as moved_of};

use bytes::Bytes;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::time::{Duration, SystemTime};

/// Bytes that are to be stored.
pub enum Body<'a> {
    /// Bytes that are in memory.
    Bytes(Bytes),
    /// A whole file of this many bytes, read from its start with pread(2); may be
    /// uploaded in parts and in parallel.
    File {
        /// The file, opened for reading.
        file: &'a File,
        /// Size of the file in bytes.
        len: u64,
    },
}

/// What became of a [`ObjectStore::put`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// The bytes are stored, and survive a crash.
    Stored,
    /// The key held something already and was left as it is; the caller checks
    /// whether those are the bytes it means.
    Exists,
}

/// Is told of bytes that are stored, and says whether to go on.
pub type Watch<'a> = dyn Fn(u64) -> bool + Sync + 'a;

/// What [`ObjectStore::list`] finds beneath a prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Listed {
    /// An object that can be read.
    Object {
        /// Key of the object.
        key: String,
        /// Size of the object in bytes.
        size: u64,
        /// When it was stored, by the store's clock.
        modified: SystemTime,
    },
    /// An upload that was neither completed nor aborted; its key shows nothing of it.
    Upload(Upload),
}

/// A multipart upload that is not finished.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upload {
    /// What it was to become.
    pub key: String,
    /// The store's name for it.
    pub id: String,
    /// When it began, by the store's clock.
    pub begun: SystemTime,
}

/// A store of immutable objects. Keys are relative to the store's prefix, with `/` between
/// components, no leading slash.
pub trait ObjectStore: Send + Sync + fmt::Debug {
    /// Stores a new key, unless it exists. Durable when this returns.
    fn put(&self, key: &str, body: Body<'_>) -> Result<Put, StoreError>;

    /// [`ObjectStore::put`] of a whole file, going on where an earlier one of the same bytes was cut off, as far as
    /// the store remembers that. Nobody else may put the key meanwhile. `watch` hears of every byte once, of
    /// those that were there too; when it says no this ends as [`StoreError::Interrupted`].
    fn put_resuming(
        &self,
        key: &str,
        file: &File,
        len: u64,
        watch: &Watch<'_>,
    ) -> Result<Put, StoreError> {
        let put = self.put(key, Body::File { file, len })?;
        watch(len);
        Ok(put)
    }

    /// Stores what another key holds, all `len` bytes of it (at least one), under a new key, unless that exists.
    /// The store itself copies, but for what is small. Durable when this returns. `watch` hears of every
    /// byte, and ends a large copy as [`StoreError::Interrupted`] when it says no.
    fn copy(&self, from: &str, to: &str, len: u64, watch: &Watch<'_>) -> Result<Put, StoreError>;

    /// Reads a range of bytes; the answer has exactly that length. The range is
    /// not empty and within the object.
    fn get(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError>;

    /// Reads a small object of unknown size: all of it, or its first `limit` bytes
    /// (not 0).
    fn get_small(&self, key: &str, limit: u64) -> Result<Bytes, StoreError>;

    /// Removes keys; absent ones are no error.
    fn delete(&self, keys: &[String]) -> Result<(), StoreError>;

    /// Gives everything whose key begins with `prefix` (a directory, with its slash; or nothing)
    /// to the sink, in no particular order. For gc and fsck: git needs no listing.
    fn list(&self, prefix: &str, sink: &mut (dyn FnMut(Listed) + Send)) -> Result<(), StoreError>;

    /// Removes the parts of an upload that was listed; one that is gone is no error.
    fn abort(&self, upload: &Upload) -> Result<(), StoreError>;

    /// Whether `put` really leaves an existing key alone. A store without
    /// conditional writes gets a digest in every key instead.
    fn refuses_overwrite(&self) -> bool;

    /// For messages and status: `dir:/path` or `s3://bucket/prefix at endpoint`, without secrets.
    fn describe(&self) -> String;

    /// The store itself, if it is one that refuses everything: then nothing need be prepared or tried.
    fn offline(&self) -> Option<&Offline> {
        None
    }
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such key.
    #[error("{store} has no object {key}")]
    NotFound {
        /// The store, as [`ObjectStore::describe`] names it.
        store: String,
        /// The key that was asked for.
        key: String,
    },
    /// The store refuses us: credentials, permissions, a missing bucket, a wrong region.
    #[error("{store} refused {request}: {reason}")]
    Refused {
        /// The store, as [`ObjectStore::describe`] names it.
        store: String,
        /// Such as `GET objects/…`.
        request: String,
        /// In the store's words, with what to try.
        reason: String,
    },
    /// Not reachable, or failing, for longer than the retries lasted.
    #[error("{store} did not answer {request} after {attempts} attempts in {elapsed:?}: {reason}")]
    Unavailable {
        /// The store, as [`ObjectStore::describe`] names it.
        store: String,
        /// Such as `PUT objects/…`.
        request: String,
        /// How often it was tried.
        attempts: u32,
        /// How long all attempts took.
        elapsed: Duration,
        /// Why the last attempt failed.
        reason: String,
    },
    /// The mount is offline: nothing was asked.
    #[error("{request} is refused: this mount is offline, {store} is not asked")]
    Offline {
        /// The store, as [`ObjectStore::describe`] names it.
        store: String,
        /// Such as `GET objects/…`.
        request: String,
    },
    /// The mount is read-only: nothing is written to its store.
    #[error("{request} is refused: this mount is read-only, nothing is written to {store}")]
    ReadOnly {
        /// The store, as [`ObjectStore::describe`] names it.
        store: String,
        /// Such as `PUT objects/…`.
        request: String,
    },
    /// Another state owns the store: nothing is stored there, and nothing deleted.
    #[error("{request} is refused: {store} is not this mount's: {why}")]
    NotOwner {
        /// The store, as [`ObjectStore::describe`] names it.
        store: String,
        /// Such as `PUT objects/…`.
        request: String,
        /// Whose it is, and what to do.
        why: String,
    },
    /// The process that waited for it is ending.
    #[error("{request} to {store} was interrupted")]
    Interrupted {
        /// The store, as [`ObjectStore::describe`] names it.
        store: String,
        /// Such as `PUT objects/…`.
        request: String,
    },
    /// A disk error of this machine (the `dir` store, or reading the body).
    #[error("{context}: {source}")]
    Local {
        /// What was being done, with the path.
        context: String,
        /// What the system call returned.
        source: std::io::Error,
    },
}
