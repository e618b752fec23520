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
//! custody     the trash: restored, or removed for good   fsck  the catalog against the store
//! beneath     the only code that touches what others write to
//! backup      of what the replicator holds, in the store
//! maintenance stock git in a private view of a repository: fewer, larger packs
//! program     every program that is started: as whom, with which settings, within which bounds
//! import      repositories brought in from elsewhere
//! work        long work on a repository: who does it, how far it is
//! consistency in a cluster: what other nodes change
//! owner       one store, one master: who may store and delete
//! ```

#![warn(clippy::disallowed_methods)]

pub mod backup;
pub mod beneath;
pub mod bundle;
mod consistency;
mod custody;
mod error;
pub mod failpoint;
mod filesystem;
mod fsck;
pub mod fuse;
#[doc(hidden)]
pub mod git_config;
pub mod import;
mod maintenance;
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
mod work;

pub use consistency::RemoteChanges;
pub use custody::{Collected, Copied, CopyError, Restored, Sweep, TrashedRepo};
pub use error::FsError;
pub use filesystem::{FileSystem, Names, OpenError, PublishError, RepoInfo, Status, Traffic};
pub use fsck::{Checked, Damage, Fault, FsckOptions};
pub use maintenance::{
    Heap, MaintenanceError, Mounted, RepackOptions, Repacked, start_maintenance,
};
pub use owner::StoreOwner;
pub use repository::Staged;
pub use repository::context::{Config, Shown};

pub use work::{Nobody, Onlooker, Part, Progress};
