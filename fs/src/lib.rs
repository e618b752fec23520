//! The file system: git's view of repositories whose objects live in an object
//! store and whose refs live in the replicator.
//!
//! ```text
//! fuse     decode → one call → reply (the only code that knows fuser)
//! tree     namespace → repository → one of three rooms
//! objects  staging, catalog, publisher      refs   locks, compare-and-swap      local
//! cache    blocks of stored objects, proved by digests
//! store    S3 or a directory
//! ```

pub mod bundle;
pub mod cache;
mod filesystem;
pub mod fuse;
pub mod store;

pub use filesystem::{Config, FileSystem, OpenError, PublishError, RepoInfo, Status};
