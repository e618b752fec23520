//! Long work beside git: what a mount does not need in order to serve, and what may take hours.
//!
//! A job is a type that holds the file system that it works on. It sees of a repository what
//! everybody outside of `gitmoor-fs` sees.
//!
//! - [`runner`]: one job of a repository at a time, here and in the cluster; reported, and ended.
//! - [`trash`]: what was deleted, listed and given back.
//! - [`gc`]: what was in the trash for long enough, and what nobody owns, leaves the store.
//! - [`fork`]: a fork gets files of its own.
//! - [`repack`]: stock git in a private view of a repository: fewer, larger packs.
//! - [`import`]: repositories are brought in from elsewhere, whole or not at all.
//! - [`fsck`]: the catalog against the store against the digests; repairs.
//! - [`backup`]: of what the replicator holds, in the store.

#![warn(clippy::disallowed_methods)]

mod age;
pub mod backup;
pub mod failpoint;
pub mod fork;
pub mod fsck;
pub mod gc;
pub mod import;
mod jobs;
pub mod repack;
pub mod runner;
pub mod trash;

pub use jobs::Jobs;
