//! What members send to each other: raft's messages as opaque bytes, and commands
//! on their way to the leader.
//!
//! A message is one byte, the version, and then postcard. A version that is not known
//! is refused, so that members of two versions do not misunderstand each other.

use prost_for_raft::Message as _;
use raft::eraftpb::{Message as RaftMessage, MessageType};
use serde::{Deserialize, Serialize};

/// The version of [`Message`]. It moves when the shape of a message or of
/// [`crate::model::Envelope`] does.
pub const VERSION: u8 = 1;

/// A message from one member to another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Message {
    /// The sender. The transport checks that it is.
    pub from: u64,
    /// Id of the receiver.
    pub to: u64,
    /// What the message carries.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Body {
    /// A message of raft. May be lost, doubled, or overtaken.
    Raft(Vec<u8>),
    /// A message of raft about a snapshot of everything. Only as it is carried ([`super::carried`]) does it have the
    /// rows in it.
    Snapshot(Vec<u8>),
    /// A command for the leader: a serialised [`crate::model::Envelope`]. There is no
    /// answer: its sender applies it like everyone else, or sends it again.
    Propose(Vec<u8>),
}

/// Bytes that are no message.
#[derive(Debug, thiserror::Error)]
pub enum Unintelligible {
    /// Of another version of Gitmoor.
    #[error("a message of version {0}, this gitmoor knows only {VERSION}")]
    Version(u8),
    /// The message has no bytes.
    #[error("an empty message")]
    Empty,
    /// Not what this version sends.
    #[error("a garbled message: {0}")]
    Garbled(String),
    /// Raft means these for itself, or they come another way.
    #[error("a raft message of type {0} from another node")]
    Local(i32),
}

impl Message {
    /// The bytes to send.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("plain data encodes")
    }

    /// A message from what came.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unintelligible> {
        match bytes.split_first() {
            Some((&VERSION, message)) => postcard::from_bytes(message)
                .map_err(|error| Unintelligible::Garbled(error.to_string())),
            Some((&version, _)) => Err(Unintelligible::Version(version)),
            None => Err(Unintelligible::Empty),
        }
    }
}

/// The message that carries one of raft's.
pub(super) fn carrying(from: u64, message: &RaftMessage) -> Message {
    let bytes = message.encode_to_vec();
    let body = match message.get_msg_type() {
        MessageType::MsgSnapshot => Body::Snapshot(bytes),
        _ => Body::Raft(bytes),
    };
    Message {
        from,
        to: message.to,
        body,
    }
}

/// Raft's message in one of ours. Raft would take a proposal unseen, and an entry
/// that does not decode ends every node, so those come as [`Body::Propose`] only; and a snapshot, whose rows must
/// be there, as [`Body::Snapshot`].
pub(super) fn raft_message(
    from: u64,
    bytes: &[u8],
    snapshot: bool,
) -> Result<RaftMessage, Unintelligible> {
    let message =
        RaftMessage::decode(bytes).map_err(|error| Unintelligible::Garbled(error.to_string()))?;
    if message.from != from {
        return Err(Unintelligible::Garbled(format!(
            "from {} in one from {from}",
            message.from
        )));
    }
    match message.get_msg_type() {
        MessageType::MsgSnapshot if snapshot => Ok(message),
        MessageType::MsgPropose | MessageType::MsgSnapshot => {
            Err(Unintelligible::Local(message.msg_type))
        }
        _ if snapshot => Err(Unintelligible::Local(message.msg_type)),
        _ => Ok(message),
    }
}
