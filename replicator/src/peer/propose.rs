//! Commands on their way to an outcome.
//!
//! A command that waits is in the queue, to be proposed; or in this node's log, for
//! as long as this node leads in that term; or sent to the leader, and sent again
//! after a pause. Waiters are keyed by (session, sequence), not by (term, index):
//! whichever leader commits the command and wherever in the log, its outcome is the
//! one, because the sessions apply it once.

use super::retry::Retry;
use super::{Body, Message, Output, Response};
use crate::engine::{Core, NotNow};
use crate::model::{Outcome, Proposal, SessionId};
use crate::storage::Log;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// Bytes of proposals that go into one write. More would not make the fsync
/// cheaper, but later.
pub(crate) const GROUP_BYTES: usize = 32 << 20;

type Key = (SessionId, u64);

pub(super) struct Proposals<C> {
    /// In order of keys, so that all peers that are given the same do the same.
    waiting: BTreeMap<Key, Waiting<C>>,
    /// To be proposed, oldest first. What is not waiting any more is passed over.
    queue: VecDeque<Key>,
    /// Whether the queue has more for raft, which took all of the last group.
    left_over: bool,
}

struct Waiting<C> {
    proposal: Proposal,
    deadline: Instant,
    caller: C,
    retry: Retry,
}

impl<C> Default for Proposals<C> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            queue: VecDeque::new(),
            left_over: false,
        }
    }
}

impl<C> Proposals<C> {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn left_over(&self) -> bool {
        self.left_over
    }

    pub(super) fn add(&mut self, proposal: Proposal, deadline: Instant, caller: C) {
        let key = proposal.key();
        let waiting = Waiting {
            proposal,
            deadline,
            caller,
            retry: Retry::never(),
        };
        self.waiting.insert(key, waiting);
        self.queue.push_back(key);
    }

    /// There is another leader, who may know of none of these.
    pub(super) fn ask_again(&mut self) {
        for waiting in self.waiting.values_mut() {
            waiting.retry = Retry::never();
        }
        self.queue = self.waiting.keys().copied().collect();
    }

    /// Lets go of those whose callers have stopped waiting, and queues again what a
    /// leader may have lost.
    pub(super) fn pass(&mut self, ticks: u64, now: Instant) {
        self.waiting.retain(|_, waiting| waiting.deadline > now);
        for (key, waiting) in &mut self.waiting {
            if waiting.retry.is_due(ticks) {
                waiting.retry.stop();
                self.queue.push_back(*key);
            }
        }
    }

    /// Proposes what is queued, up to one group, here or to whoever leads; returns
    /// how many.
    pub(super) fn propose(
        &mut self,
        core: &mut Core<Log>,
        ticks: u64,
        out: &mut dyn FnMut(Output<C>),
    ) -> usize {
        let (mut count, mut bytes) = (0, 0);
        while let Some(key) = self.queue.front() {
            if let Some(waiting) = self.waiting.get_mut(key) {
                let fits = count == 0 || bytes + waiting.bytes() <= GROUP_BYTES;
                if !fits || !waiting.propose(core, ticks, out) {
                    break;
                }
                count += 1;
                bytes += waiting.bytes();
            }
            self.queue.pop_front();
        }
        // When raft takes nothing, trying again at once would only burn time.
        self.left_over = count > 0 && !self.queue.is_empty();
        count
    }

    /// A command was applied, perhaps one that somebody waits for here.
    pub(super) fn applied(
        &mut self,
        key: Key,
        outcome: Outcome,
        index: u64,
        out: &mut dyn FnMut(Output<C>),
    ) {
        if let Some(waiting) = self.waiting.remove(&key) {
            let answer = Response::Outcome { outcome, index };
            out(Output::Respond(waiting.caller, answer));
        }
    }
}

impl<C> Waiting<C> {
    fn bytes(&self) -> usize {
        self.proposal.data().len()
    }

    /// Returns whether it is out of the queue.
    fn propose(
        &mut self,
        core: &mut Core<Log>,
        ticks: u64,
        out: &mut dyn FnMut(Output<C>),
    ) -> bool {
        match core.propose(self.proposal.clone()) {
            // It is committed, or somebody else leads before long.
            Ok(()) => true,
            Err(NotNow::Busy | NotNow::NotLeader { leader: 0 }) => false,
            Err(NotNow::NotLeader { leader }) => {
                out(Output::Send(Message {
                    from: core.raft().id,
                    to: leader,
                    body: Body::Propose(self.proposal.data().to_vec()),
                }));
                self.retry.asked(ticks);
                true
            }
        }
    }
}

/// Proposes a command of another member, who sends it again if this comes to nothing.
pub(super) fn for_another(core: &mut Core<Log>, from: u64, data: Vec<u8>) {
    match Proposal::read(data) {
        Err(error) => tracing::warn!(from, %error, "a command that is not proposed"),
        Ok(proposal) => {
            if let Err(why) = core.propose(proposal) {
                tracing::debug!(from, %why, "a command is not proposed now");
            }
        }
    }
}
