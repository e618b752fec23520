//! Who hears what the network brings: the node above it.

use super::join::{Admission, Joined, Refusal};
use super::snapshot::Received;

/// Who receives what the network carries. Nothing here may block.
#[tonic::async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Whether a node or client of the cluster may say anything; not when it was removed.
    fn welcomes(&self, holder: u64) -> bool;

    /// A message from a peer. It may be dropped: raft sends again.
    fn message(&self, from: u64, message: Vec<u8>);

    /// A whole snapshot from a peer, verified. Returns when it is taken in; an error says why it is not.
    async fn snapshot(&self, from: u64, snapshot: Received) -> Result<(), String>;

    /// A message to this peer did not arrive, or may not have.
    fn unreachable(&self, to: u64);

    /// A request of a peer. An error says why there is no answer.
    async fn ask(&self, from: u64, request: Vec<u8>) -> Result<Vec<u8>, String>;

    /// A request of a client of the cluster. An error says why there is no answer.
    async fn serve(&self, client: u64, request: Vec<u8>) -> Result<Vec<u8>, String>;

    /// A stranger wants to be a node or client.
    async fn admit(&self, admission: Admission) -> Result<Joined, Refusal>;
}
