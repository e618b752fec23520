//! One repository: refs, objects, the private files of a machine, and pushes beside pruning.

mod borrowing;
pub(crate) mod concurrency;
pub(crate) mod host_files;
pub(crate) mod lfs;
mod maintenance;
mod prune;
mod quarantines;
mod quota;
mod refs;
mod reftable;
mod staged;
mod transactions;
