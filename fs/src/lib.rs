//! The file system: git's view of repositories whose objects live in an object
//! store and whose refs live in the replicator.
//!
//! ```text
//! fuse        decode → one call → reply (the only code that knows fuser)
//! tree        namespace → repository; inodes
//! namespace   names of repositories: created, renamed, deleted, listed
//! repository  one real directory, overlaid by what its rooms hold: objects (catalog, staging, publisher),
//!             refs (compare-and-swap), local (plain files)
//! bundle      loose objects ↔ packs
//! beneath     the only code that touches what others write to
//! program     every program that is started: as whom, with which settings, within which bounds
//! consistency in a cluster: what other nodes change
//! hooks       one directory of this machine that is hooks/ of every repository
//! owner       one store, one owner: who may store and delete
//! ```

#![warn(clippy::disallowed_methods)]

pub mod beneath;
pub mod bundle;
mod consistency;
mod error;
pub mod failpoint;
mod filesystem;
pub mod fuse;
pub mod git_config;
mod hooks;
mod metrics;
mod namespace;
pub mod owner;
#[doc(hidden)]
pub mod parsers;
mod process;
pub mod program;
mod repository;
mod shares;
mod tree;

pub use consistency::RemoteChanges;
pub use error::{FsError, FsResult};
pub use filesystem::{
    FileSystem, HooksOfMount, HooksStatus, MachineHooksStatus, Names, OpenError, PublishError,
    PushHooks, RepoInfo, Status, Traffic, start_periodic,
};
pub use hooks::HooksError;
pub use owner::StoreOwner;
pub use process::SERVED;
pub use repository::Repository;
pub use repository::context::{Config, Shown};
pub use repository::objects::{Content, Objects, Staged, catalog, is_over_quota};
pub use repository::refs::packed as packed_refs;
pub use repository::transaction::dissociate::Dissociation;
pub use repository::transaction::repack::{Expired, Made, Published, Repack, RepackCommit};
pub use repository::transaction::repair::Repair;
