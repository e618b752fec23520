//! What the nodes of a cluster say to each other: messages of gRPC services that `build.rs`
//! declares. Everything but `Admission` needs a certificate of the cluster.
//!
//! Raft's messages are opaque here. They have a codec of their own, and nobody parses them
//! before their sender is known. A tag number that was used is not used again.

use prost::Message as Prost;

/// `Node.Send`: messages to this node, in order. Those under way when the stream ends are lost.
#[derive(Clone, PartialEq, Prost)]
pub(crate) struct PeerMessage {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) message: Vec<u8>,
}

/// Nothing but the end of a stream.
#[derive(Clone, PartialEq, Prost)]
pub(crate) struct Empty {}

/// `Node.HasSnapshot`: how much of a snapshot this node has from an attempt that was cut off.
#[derive(Clone, PartialEq, Prost)]
pub(crate) struct SnapshotName {
    /// blake3 of all of its bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) digest: Vec<u8>,
    /// How many these are.
    #[prost(uint64, tag = "2")]
    pub(crate) size: u64,
}

#[derive(Clone, PartialEq, Prost)]
pub(crate) struct SnapshotOffset {
    #[prost(uint64, tag = "1")]
    pub(crate) offset: u64,
}

/// `Node.SendSnapshot`: a snapshot from there on. The first piece has the name.
#[derive(Clone, PartialEq, Prost)]
pub(crate) struct SnapshotPiece {
    #[prost(message, optional, tag = "1")]
    pub(crate) name: Option<SnapshotName>,
    #[prost(uint64, tag = "2")]
    pub(crate) offset: u64,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) bytes: Vec<u8>,
}

/// `Node.Ask`: a request to this node, answered by this node. `Clients.Ask`: one of a client.
#[derive(Clone, PartialEq, Prost)]
pub(crate) struct AskRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) request: Vec<u8>,
}

#[derive(Clone, PartialEq, Prost)]
pub(crate) struct AskResponse {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) response: Vec<u8>,
}

/// `Admission.Join`: from who has a one-time token and no certificate yet.
#[derive(Clone, PartialEq, Prost)]
pub(crate) struct JoinRequest {
    /// The token's secret.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) secret: Vec<u8>,
    /// PKCS #10, DER. Only its public key counts.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) certificate_request: Vec<u8>,
    /// Where the other nodes reach the new one, host:port; nothing when it is to be a client.
    #[prost(string, tag = "3")]
    pub(crate) address: String,
    /// What a client calls itself.
    #[prost(string, tag = "4")]
    pub(crate) client: String,
}

#[derive(Clone, PartialEq, Prost)]
pub(crate) struct Admitted {
    /// The id of the new node or client.
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    /// Its certificate, DER.
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) certificate: Vec<u8>,
    /// The cluster's key, PKCS #8 DER: every node may admit others. A client gets none.
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) authority_key: Vec<u8>,
    /// Who is in the cluster.
    #[prost(message, repeated, tag = "4")]
    pub(crate) members: Vec<Member>,
}

/// A node and where it is reached.
#[derive(Clone, PartialEq, Prost)]
pub(crate) struct Member {
    #[prost(uint64, tag = "1")]
    pub(crate) node: u64,
    #[prost(string, tag = "2")]
    pub(crate) address: String,
}
