//! What the replicated state promises: to several machines, to auditors, and after damage.

mod audit;
pub(crate) mod cluster;
mod damaged_replica;
