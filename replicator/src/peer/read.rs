//! Reads that see everything acknowledged before them, on any member: the leader
//! says up to where the log is committed, having heard from a quorum after it was
//! asked (ReadIndex), and the read waits until that is applied here.
//!
//! Raft drops a question without a word when there is no leader, the leader has
//! committed nothing in its term, or the term changes. It is asked again under the
//! same number, since every answer to it comes after the question.

use super::retry::Retry;
use super::{Output, Response};
use crate::engine::{Core, Incarnation};
use crate::storage::Log;
use raft::Raft;
use std::collections::BTreeMap;
use std::time::Instant;

pub(super) struct Reads<C> {
    incarnation: Incarnation,
    /// The number of the last question.
    last: u64,
    waiting: BTreeMap<u64, Read<C>>,
}

struct Read<C> {
    deadline: Instant,
    caller: C,
    retry: Retry,
    /// What must be applied.
    index: Option<u64>,
}

impl<C> Reads<C> {
    pub(super) fn new(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            last: 0,
            waiting: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn add(&mut self, deadline: Instant, caller: C) {
        let read = Read {
            deadline,
            caller,
            retry: Retry::now(),
            index: None,
        };
        self.last += 1;
        self.waiting.insert(self.last, read);
    }

    pub(super) fn ask_again(&mut self) {
        for read in self.waiting.values_mut() {
            read.retry = Retry::now();
        }
    }

    pub(super) fn pass(&mut self, now: Instant) {
        self.waiting.retain(|_, read| read.deadline > now);
    }

    /// Asks what is due.
    pub(super) fn ask(&mut self, core: &mut Core<Log>, ticks: u64) {
        // Raft drops a ReadIndex of a leader that has committed nothing in its own term yet: the read waits for that.
        if core.leads() && !core.raft().commit_to_current_term() {
            return;
        }
        for (number, read) in &mut self.waiting {
            if read.index.is_none() && read.retry.is_due(ticks) {
                core.read_index(context(self.incarnation, *number));
                read.retry.asked(ticks);
            }
        }
    }

    /// A question is answered.
    pub(super) fn found(&mut self, context: &[u8], index: u64) {
        let number = number_of(self.incarnation, context);
        if let Some(read) = number.and_then(|number| self.waiting.get_mut(&number)) {
            read.index.get_or_insert(index);
        }
    }

    /// Tells those whose index is applied.
    pub(super) fn answer(&mut self, raft: &Raft<Log>, out: &mut dyn FnMut(Output<C>)) {
        let applied = raft.raft_log.applied;
        let readable = |read: &Read<C>| read.index.is_some_and(|index| index <= applied);
        for (_, read) in self.waiting.extract_if(.., |_, read| readable(read)) {
            out(Output::Respond(read.caller, Response::Readable));
        }
    }
}

/// The context of a ReadIndex: unique across nodes and their incarnations.
fn context(incarnation: Incarnation, number: u64) -> Vec<u8> {
    [incarnation.node, incarnation.nonce, number]
        .map(u64::to_be_bytes)
        .concat()
}

fn number_of(incarnation: Incarnation, named: &[u8]) -> Option<u64> {
    let number = named.last_chunk().copied().map(u64::from_be_bytes)?;
    (named == context(incarnation, number)).then_some(number)
}
