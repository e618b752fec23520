//! The cluster as everyone in it knows it.

use super::{Scope, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// A cluster, for good.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ClusterId(Uuid);

impl ClusterId {
    /// A fresh random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for ClusterId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A node of the cluster. Whether it has a vote is raft's matter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Where the others reach it, host:port.
    pub address: String,
}

/// A mount that asks the nodes and has no copy of the state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Client {
    /// What its machine calls itself, for people.
    pub name: String,
}

/// A client that was admitted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientEntry {
    /// What its machine calls itself, for people.
    pub name: String,
    /// What it may see and do.
    pub scope: Scope,
}

/// An invitation that nobody has used yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invitation {
    /// Until when, by the proposers' clocks.
    pub expires: Timestamp,
    /// Whether it admits a node or a client.
    pub part: Part,
    /// Of a client, what it may.
    pub scope: Scope,
}

impl Invitation {
    /// Whether it is good for this newcomer at this time.
    pub fn is_for(&self, newcomer: &Newcomer, time: Timestamp) -> bool {
        self.expires >= time && self.part == newcomer.part()
    }
}

/// As what somebody may be admitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Part {
    /// A [`Member`], which gets the cluster's key.
    Node,
    /// A [`Client`], which has no copy of the state.
    Client,
}

/// A node or client that is being admitted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Newcomer {
    /// A node that joins the cluster.
    Node(Member),
    /// A client that joins the cluster.
    Client(Client),
}

impl Newcomer {
    /// As what it comes.
    pub fn part(&self) -> Part {
        match self {
            Self::Node(_) => Part::Node,
            Self::Client(_) => Part::Client,
        }
    }
}

/// Where all nodes of a cluster keep object files.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoreRecord {
    /// The store's own id, by which it is known wherever it is reached.
    pub id: String,
    /// Where the first mount reached it; no secrets.
    pub url: String,
}

/// One claim to be the master of the store. Each is made once, and written here before it stands in the
/// store, so that a state knows its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ClaimId(Uuid);

impl ClaimId {
    /// A fresh random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// What an invitation's secret is known by: its blake3. The secret itself is the
/// administrator's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SecretDigest(pub [u8; 32]);

impl SecretDigest {
    /// Digest of the bytes of a secret.
    pub fn of(secret: &[u8]) -> Self {
        Self(*blake3::hash(secret).as_bytes())
    }

    /// Whether they are the same. This takes as long wherever they differ.
    pub fn is(&self, other: &Self) -> bool {
        blake3::Hash::from_bytes(self.0) == blake3::Hash::from_bytes(other.0)
    }
}
