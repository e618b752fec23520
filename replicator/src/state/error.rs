//! What goes wrong when rows are read.

/// Rows of the state cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// RocksDB could not read.
    #[error("reading the replicator's database: {0}")]
    Database(String),
    /// A client could not get what it does not have.
    #[error("reading what the cluster's nodes have: {0}")]
    Away(String),
    /// Stored bytes do not decode.
    #[error("damaged entry in the replicator's database: {0}")]
    Damaged(String),
}
