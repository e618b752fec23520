//! What machines of a cluster ask each other, beside raft: requests, responses, and their bytes.
//!
//! Nodes and clients both use this, and it uses neither. How the bytes travel is
//! [`crate::net`]'s matter, what is answered to them the node's.

pub(crate) mod client;
mod delta;
pub(crate) mod node;
mod status;

pub use delta::{Cursor, Delta};
pub(crate) use delta::{OF_REPOSITORY, WHOLE};
pub use status::{MemberStatus, NodeState, Role, Status};

use serde::{Deserialize, Serialize};

pub(crate) fn encode<T: Serialize>(it: &T) -> Vec<u8> {
    postcard::to_stdvec(it).expect("plain data encodes")
}

pub(crate) fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, String> {
    postcard::from_bytes(bytes).map_err(|error| format!("what was sent makes no sense: {error}"))
}
