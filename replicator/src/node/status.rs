//! Where a node stands, for people to read.

use crate::storage::Log;
use raft::{Raft, StateRole};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The part a node plays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Follows a leader, or waits for one.
    #[default]
    Follower,
    /// Stands for election.
    Candidate,
    /// Leads.
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
    /// Its id.
    pub id: u64,
    /// Its part.
    pub role: Role,
    /// The leader's id, if it knows one.
    pub leader: Option<u64>,
    /// Raft's term.
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
    /// Who has not.
    pub learners: BTreeSet<u64>,
    /// How many entries each member's log is behind this leader's; of a node that does not lead,
    /// how many committed ones it has not applied.
    pub lag: BTreeMap<u64, u64>,
}

impl Status {
    pub(super) fn of(raft: &Raft<Log>, pending: usize) -> Self {
        let members = raft.prs().conf();
        Self {
            id: raft.id,
            role: match raft.state {
                StateRole::Follower => Role::Follower,
                StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
                StateRole::Leader => Role::Leader,
            },
            leader: Some(raft.leader_id).filter(|&leader| leader != raft::INVALID_ID),
            term: raft.term,
            commit: raft.raft_log.committed,
            applied: raft.raft_log.applied,
            first_index: raft.raft_log.first_index(),
            last_index: raft.raft_log.last_index(),
            pending,
            voters: members.voters().ids().iter().collect(),
            learners: members.learners().iter().copied().collect(),
            lag: lag(raft),
        }
    }
}

fn lag(raft: &Raft<Log>) -> BTreeMap<u64, u64> {
    let log = &raft.raft_log;
    if raft.state != StateRole::Leader {
        return BTreeMap::from([(raft.id, log.committed - log.applied)]);
    }
    let last = log.last_index();
    let behind = |matched: u64| last.saturating_sub(matched);
    let members = raft.prs().iter();
    members
        .map(|(node, progress)| (*node, behind(progress.matched)))
        .collect()
}
