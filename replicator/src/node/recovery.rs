//! Backups, and nodes that begin with one, or go on without their cluster.

use super::{FOUNDER, Node, NodeConfig, Parts};
use crate::storage::{Bootstrap, Database, OpenError, RestoreError};
use std::fs;
use std::io::Read;

impl Node {
    /// Begins a new data directory with a backup of `size` bytes, as a node alone.
    pub fn restore(
        config: NodeConfig,
        backup: &mut dyn Read,
        size: u64,
    ) -> Result<Self, RestoreError> {
        let is_new = !config.dir.exists();
        let database = Database::open(&config.dir)?;
        let begun = database.begin_with(backup, size, FOUNDER);
        // It is opened once more, with everything that opening checks.
        drop(database);
        if is_new && matches!(begun, Err(RestoreError::Bad(_))) {
            // So that another backup can be tried.
            fs::remove_dir_all(&config.dir).map_err(OpenError::from)?;
        }
        begun?;
        Ok(Node::open(config)?)
    }

    /// Opens the data of one node of a cluster that has lost the majority of its voters for good, as a node
    /// alone with all that it has. What others had acknowledged and it had not got is lost.
    pub fn recover(config: NodeConfig, node: u64) -> Result<Self, OpenError> {
        let parts = Parts::new(config, node, Bootstrap::Resume)?;
        parts.database.make_alone(node)?;
        parts.start_alone()
    }
}
