//! Where a node stands, as its raft says.

use crate::rpc::{Role, Status};
use crate::storage::Log;
use raft::{Raft, StateRole};
use std::collections::BTreeMap;

pub(super) fn status_of(raft: &Raft<Log>, pending: usize) -> Status {
    let members = raft.prs().conf();
    Status {
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
