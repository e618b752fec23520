//! Changes of the membership: single steps, one at a time, made by the leader.
//!
//! A step is one entry of the log, so it needs a quorum of the voters before it and
//! nothing of the node it is about: a dead one can be removed. The leader refuses
//! what could harm: to promote a learner that lags, or to remove itself.
//!
//! Members go by what they have applied, so those that do not know yet that a removal
//! is committed still count the removed node. If it were switched off now, and the
//! leader lost, they might wait for its vote for ever. A change is therefore answered
//! only when one more entry, proposed after it was applied, is committed too: whoever
//! has that on its disk has there that the change is committed.

use super::{Output, Response};
use crate::engine::{Core, Leadership};
use crate::storage::Log;
use raft::eraftpb::{ConfChange, ConfChangeType};
use raft::{ProgressState, Raft};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Entries that a learner may lack when it is promoted. From then on commits may
/// have to wait for it.
const CLOSE: u64 = 1000;

/// A change of the membership.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Change {
    /// A new node gets everything and has no vote.
    AddLearner(u64),
    /// A learner gets a vote.
    Promote(u64),
    /// A node, dead or alive, is no member any more. Its id is never used again.
    Remove(u64),
    /// Makes this voter the leader.
    TransferTo(u64),
}

/// Why the membership is not as it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum ChangeError {
    /// Only the leader changes the membership.
    #[error("this node does not lead, {leader} does")]
    NotLeader {
        /// Who leads; 0 when none is known.
        leader: u64,
    },
    /// Another change is under way, or a new leader has not caught up with itself.
    #[error("another change of the membership is under way")]
    Busy,
    /// Leadership was lost before the change was committed; it may still be.
    #[error("leadership was lost meanwhile; the outcome is unknown")]
    Unknown,
    /// Adding a voter as a learner would take its vote.
    #[error("node {0} is a voter")]
    IsVoter(u64),
    /// It must be added first.
    #[error("node {0} is not a learner")]
    NotLearner(u64),
    /// Only a voter leads.
    #[error("node {0} is not a voter")]
    NotVoter(u64),
    /// It would hold up commits.
    #[error("learner {0} has not caught up")]
    Lags(u64),
    /// Another must lead before it can be removed.
    #[error("node {0} leads; transfer the leadership first")]
    Leads(u64),
    /// The node did not take the leadership in time.
    #[error("node {0} did not take the leadership")]
    NotTaken(u64),
}

pub(super) struct MembershipChanges<C> {
    asked: Vec<(Change, WaitingCaller<C>)>,
    under_way: Option<(Goal, WaitingCaller<C>)>,
}

struct WaitingCaller<C> {
    deadline: Instant,
    caller: C,
}

/// When a change is made.
#[derive(Clone, Copy)]
enum Goal {
    /// When this entry, of this leader's log, is applied, and then one more.
    Applied { index: u64, term: u64 },
    /// When this entry, of this leader's log, is applied.
    Known { index: u64, term: u64 },
    /// When this node leads.
    Leader(u64),
}

impl<C> Default for MembershipChanges<C> {
    fn default() -> Self {
        Self {
            asked: Vec::new(),
            under_way: None,
        }
    }
}

impl<C> MembershipChanges<C> {
    pub(super) fn len(&self) -> usize {
        self.asked.len() + usize::from(self.under_way.is_some())
    }

    pub(super) fn add(&mut self, change: Change, deadline: Instant, caller: C) {
        self.asked
            .push((change, WaitingCaller { deadline, caller }));
    }

    pub(super) fn pass(&mut self, now: Instant) {
        self.asked.retain(|(_, waiting)| waiting.deadline > now);
        self.under_way
            .take_if(|(_, waiting)| waiting.deadline <= now);
    }

    /// Begins what is asked for, or says why not, and goes on with what is begun.
    pub(super) fn begin(&mut self, core: &mut Core<Log>, out: &mut dyn FnMut(Output<C>)) {
        if let Some((goal, _)) = &mut self.under_way {
            goal.advance(core);
        }
        for (change, waiting) in std::mem::take(&mut self.asked) {
            let begun = match self.under_way {
                Some(_) => Err(ChangeError::Busy),
                None => begin(core, change),
            };
            match begun {
                Ok(goal) => self.under_way = Some((goal, waiting)),
                Err(why) => out(Output::Respond(waiting.caller, Response::NotChanged(why))),
            }
        }
    }

    /// Tells whether what is under way has come to an end.
    pub(super) fn answer(&mut self, core: &mut Core<Log>, out: &mut dyn FnMut(Output<C>)) {
        let Some((goal, waiting)) = self.under_way.take() else {
            return;
        };
        match goal.reached(core) {
            None => self.under_way = Some((goal, waiting)),
            Some(answer) => out(Output::Respond(waiting.caller, answer)),
        }
    }
}

impl Goal {
    /// Has the entry proposed that makes an applied change known.
    fn advance(&mut self, core: &mut Core<Log>) {
        if let Self::Applied { index, term } = *self
            && core.leadership().term == term
            && core.raft().raft_log.applied >= index
            && core.propose_nothing().is_ok()
        {
            let index = core.raft().raft_log.last_index();
            *self = Self::Known { index, term };
        }
    }

    fn reached(self, core: &Core<Log>) -> Option<Response> {
        let Leadership { term, leader } = core.leadership();
        match self {
            Self::Applied { term: old, .. } | Self::Known { term: old, .. }
                if !core.leads() || term != old =>
            {
                Some(Response::NotChanged(ChangeError::Unknown))
            }
            Self::Applied { .. } => None,
            Self::Known { index, .. } => {
                (core.raft().raft_log.applied >= index).then_some(Response::Changed)
            }
            Self::Leader(node) if leader == node => Some(Response::Changed),
            Self::Leader(node) => {
                let given_up = core.leads() && core.raft().lead_transferee.is_none();
                given_up.then_some(Response::NotChanged(ChangeError::NotTaken(node)))
            }
        }
    }
}

fn begin(core: &mut Core<Log>, change: Change) -> Result<Goal, ChangeError> {
    check(core, change)?;
    let (kind, node) = match change {
        Change::AddLearner(node) => (ConfChangeType::AddLearnerNode, node),
        Change::Promote(node) => (ConfChangeType::AddNode, node),
        Change::Remove(node) => (ConfChangeType::RemoveNode, node),
        Change::TransferTo(node) => {
            core.transfer_leadership(node);
            return Ok(Goal::Leader(node));
        }
    };
    if !is_so(core.raft(), change) {
        let mut step = ConfChange {
            node_id: node,
            ..ConfChange::default()
        };
        step.set_change_type(kind);
        core.propose_members(step).map_err(|_| ChangeError::Busy)?;
    }
    Ok(Goal::Applied {
        index: core.raft().raft_log.last_index(),
        term: core.raft().term,
    })
}

/// Whether the membership is as asked for already. Then there is nothing to do but to
/// wait until everybody knows: whoever asked for it first may have had no answer.
fn is_so(raft: &Raft<Log>, change: Change) -> bool {
    let members = raft.prs().conf();
    match change {
        Change::AddLearner(node) => members.learners().contains(&node),
        Change::Promote(node) => members.voters().contains(node),
        Change::Remove(node) => raft.prs().get(node).is_none(),
        Change::TransferTo(node) => raft.leader_id == node,
    }
}

fn check(core: &Core<Log>, change: Change) -> Result<(), ChangeError> {
    let raft = core.raft();
    if !core.leads() {
        let leader = core.leadership().leader;
        return Err(ChangeError::NotLeader { leader });
    }
    // Raft would make an empty entry of a second change and say nothing.
    if raft.has_pending_conf() || raft.lead_transferee.is_some() {
        return Err(ChangeError::Busy);
    }
    let is_voter = |node| raft.prs().conf().voters().contains(node);
    let refused = match change {
        Change::AddLearner(node) => is_voter(node).then_some(ChangeError::IsVoter(node)),
        Change::Promote(node) if is_voter(node) => None,
        Change::Promote(node) => cannot_vote_yet(raft, node),
        Change::Remove(node) => (node == raft.id).then_some(ChangeError::Leads(node)),
        Change::TransferTo(node) => (!is_voter(node)).then_some(ChangeError::NotVoter(node)),
    };
    refused.map_or(Ok(()), Err)
}

fn cannot_vote_yet(raft: &Raft<Log>, node: u64) -> Option<ChangeError> {
    let Some(progress) = raft.prs().get(node) else {
        return Some(ChangeError::NotLearner(node));
    };
    let committed = raft.raft_log.committed;
    let close = progress.matched + CLOSE >= committed;
    // After a snapshot raft does not find out that a node follows until there is something
    // more to send; that it has everything says as much.
    let follows =
        progress.matched >= committed || (progress.state == ProgressState::Replicate && close);
    (!follows).then_some(ChangeError::Lags(node))
}
