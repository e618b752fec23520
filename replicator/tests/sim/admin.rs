//! The administrator, who changes the membership: first to what the plan wants, then
//! for the sake of it.

use crate::plan::{MILLISECOND, SECOND, around, pick};
use crate::world::{Caller, Event, World};
use gitmoor_replicator::peer::{Change, ChangeError, RequestKind, Response};
use gitmoor_replicator::storage::Bootstrap;
use rand::Rng;

const PATIENCE: u64 = 5 * SECOND;

struct Members {
    leader: u64,
    voters: Vec<u64>,
    learners: Vec<u64>,
}

impl World {
    pub(crate) fn change_members(&mut self) {
        if !self.chaos {
            return;
        }
        let Some(members) = self.members() else {
            return self.at(200 * MILLISECOND, Event::ChangeMembers);
        };
        let complete = members.voters.len() >= self.plan.members;
        let pause = if complete {
            self.plan.change_every
        } else {
            100 * MILLISECOND
        };
        let next = around(&mut self.chance, pause);
        self.at(next, Event::ChangeMembers);
        if self.now < self.changing_until {
            return;
        }
        let change = if complete {
            self.any_change(&members)
        } else {
            self.grow(&members)
        };
        self.tell(|_| format!("{change:?}"));
        self.changing_until = self.now + PATIENCE;
        self.ask(
            members.leader,
            RequestKind::Change(change),
            Caller::Admin(change),
            PATIENCE,
        );
    }

    /// As the leader has them.
    fn members(&self) -> Option<Members> {
        let leader = self.leader()?;
        let peer = self.nodes[&leader].peer.as_ref()?;
        let mut members = peer.raft().prs().conf().to_conf_state();
        members.voters.sort_unstable();
        members.learners.sort_unstable();
        Some(Members {
            leader,
            voters: members.voters,
            learners: members.learners,
        })
    }

    fn grow(&mut self, members: &Members) -> Change {
        match members.learners.first() {
            Some(learner) => Change::Promote(*learner),
            None => Change::AddLearner(self.new_node()),
        }
    }

    fn any_change(&mut self, members: &Members) -> Change {
        let voter = pick(&mut self.chance, &members.voters);
        match self.chance.random_range(0..6) {
            0 => Change::Remove(voter),
            1 => Change::TransferTo(voter),
            2 => Change::AddLearner(voter),
            3 if members.learners.is_empty() => Change::AddLearner(self.new_node()),
            4 => Change::Promote(voter),
            _ => match members.learners.first() {
                Some(learner) if self.chance.random() => Change::Promote(*learner),
                Some(learner) => Change::Remove(*learner),
                None => Change::TransferTo(voter),
            },
        }
    }

    fn new_node(&mut self) -> u64 {
        let id = self.nodes.keys().max().map_or(1, |last| last + 1);
        self.add_node(id, Bootstrap::Join);
        id
    }

    pub(crate) fn changed(&mut self, change: Change, answer: Response) {
        self.tell(|_| format!("{change:?}: {answer:?}"));
        self.changing_until = 0;
        match (change, answer) {
            (_, Response::NotChanged(ChangeError::Unknown | ChangeError::Busy)) => {}
            (_, Response::NotChanged(_)) => self.tally.refused_changes += 1,
            (Change::Remove(node), _) => self.removed(node),
            (Change::TransferTo(_), _) => self.tally.transfers += 1,
            (Change::AddLearner(_) | Change::Promote(_), _) => self.tally.changes += 1,
        }
    }

    /// A removed node is switched off, or goes on as if it were a member.
    fn removed(&mut self, node: u64) {
        self.tally.removals += 1;
        if self.chance.random() {
            let node = self.node(node);
            node.peer = None;
            node.retired = true;
        }
    }

    /// Who is a member, once there is a leader that knows.
    pub(crate) fn all_members(&self) -> Option<Vec<u64>> {
        let members = self.members()?;
        let raft = self.nodes[&members.leader].peer.as_ref()?.raft();
        if raft.has_pending_conf() || !raft.apply_to_current_term() {
            return None;
        }
        Some([members.voters, members.learners].concat())
    }
}
