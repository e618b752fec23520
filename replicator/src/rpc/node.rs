//! What nodes request of each other, beside raft.

use super::NodeState;
use crate::locks::{Lock, Renewal};
use crate::peer::{Change, ChangeError};
use serde::{Deserialize, Serialize};

/// A request of one node to another.
#[derive(Serialize, Deserialize)]
pub(crate) enum NodeRequest {
    /// For the leader.
    Change(Change),
    State,
    /// For the leader, as are the next two, each for a holder of locks.
    Lock(u64, Lock),
    Unlock(u64, Lock),
    RenewLocks(u64, Renewal),
}

#[derive(Serialize, Deserialize)]
pub(crate) enum NodeResponse {
    Changed(Result<(), ChangeError>),
    State(NodeState),
    /// Whether the holder has the lock; `None` from a node that does not lead.
    Locked(Option<bool>),
    /// Which of its locks the holder does not have any more; `None` likewise.
    LostLocks(Option<Vec<Lock>>),
}
