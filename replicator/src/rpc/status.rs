//! Where a node stands, for people to read, and how the members of a cluster are.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::SystemTime;

/// The part a node plays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Follows a leader, or waits for one.
    #[default]
    Follower,
    /// Asks the others for their votes.
    Candidate,
    /// Leads the cluster in its term.
    Leader,
    /// Has no part: a client, which asks the nodes.
    Client,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
            Self::Client => "client",
        })
    }
}

/// Where a node stands.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// Id of the node or client.
    pub id: u64,
    /// Whether it leads, follows or asks.
    pub role: Role,
    /// The leader's id, if it knows one.
    pub leader: Option<u64>,
    /// Raft's term, as the node knows it.
    pub term: u64,
    /// Index of the last entry known to be committed.
    pub commit: u64,
    /// Index of the last entry applied here.
    pub applied: u64,
    /// Index of the first entry in the log.
    pub first_index: u64,
    /// Index of the last entry in the log.
    pub last_index: u64,
    /// Proposals that wait for their outcome.
    pub pending: usize,
    /// Who has a vote, as of what is applied here.
    pub voters: BTreeSet<u64>,
    /// Members without a vote, as of what is applied here.
    pub learners: BTreeSet<u64>,
    /// How many entries each member's log is behind this leader's; of a node that does not lead,
    /// how many committed ones it has not applied.
    pub lag: BTreeMap<u64, u64>,
}

/// How a member is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Where the others reach it.
    pub address: String,
    /// Where it stands, in its own words; or why there are none.
    pub state: Result<NodeState, String>,
}

/// What a node says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeState {
    /// What raft says of the node.
    pub status: Status,
    /// When its certificate expires.
    pub certificate_expires: SystemTime,
    /// Version of the program that the node runs.
    pub version: String,
}
