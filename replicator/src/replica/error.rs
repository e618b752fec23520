//! What goes wrong with a replica.

use crate::state::ReadError;
use std::io;
use std::time::Duration;

/// A backup was not made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The state could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The backup could not be written.
    #[error("writing a backup: {0}")]
    Write(#[from] io::Error),
}

/// A proposal did not come to an outcome.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// The replicator is stopping.
    #[error("the replicator is shutting down")]
    Stopped,
    /// No answer within the time allowed; the outcome is unknown.
    #[error("no answer from the replicator within {0:?}; the outcome is unknown")]
    Timeout(Duration),
    /// Whoever asked wants no answer any more; the outcome is unknown.
    #[error("given up before the replicator answered; the outcome is unknown")]
    GivenUp,
    /// Of a client: no node answers.
    #[error("no node of the cluster answered: {0}; the outcome is unknown")]
    NoNode(String),
    /// Of a client: it was removed from the cluster, or was never in it.
    #[error("{0}")]
    Removed(String),
    /// Of a client: it may not ask for this.
    #[error("not permitted: {0}")]
    Denied(String),
    /// Of a client: a node answered what was not asked.
    #[error("a node of the cluster gave an answer that makes no sense; the outcome is unknown")]
    Senseless,
    /// The command is too large for one raft entry.
    #[error("a command of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Size of the command in bytes.
        size: usize,
        /// The largest that is allowed, in bytes.
        limit: usize,
    },
}
