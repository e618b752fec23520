//! Backups, and nodes that begin with one, or go on without their cluster.

use super::{FOUNDER, Node, NodeConfig, Parts};
use crate::storage::{Backup, BadBackup, Beginning, Database, OpenError};

/// A backup cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The bytes.
    #[error(transparent)]
    Bad(#[from] BadBackup),
    /// The data directory.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Node {
    /// Begins a new data directory with a backup, as a node alone.
    pub fn restore(config: NodeConfig, backup: &[u8]) -> Result<Self, RestoreError> {
        let backup = Backup::decode(backup)?;
        let database = Database::open(&config.dir)?;
        database.begin_with(&backup, FOUNDER)?;
        // It is opened once more, with everything that opening checks.
        drop(database);
        Ok(Node::open(config)?)
    }

    /// Opens the data of one node of a cluster that has lost the majority of its voters for good, as a node
    /// alone with all that it has. What others had acknowledged and it had not got is lost.
    pub fn recover(config: NodeConfig, node: u64) -> Result<Self, OpenError> {
        let parts = Parts::new(config, node, Beginning::Resume)?;
        parts.database.make_alone(node)?;
        parts.start_alone()
    }
}
