//! The loop: the one thread that owns raft and writes to the database.
//!
//! Each round waits for input or the next tick, takes all input that is there,
//! proposes it, and lets the engine do what is to be done. A proposal that raft
//! does not take now (no leader, too much under way) waits and is proposed
//! again, with its sequence number, until its proposer's time is up.
//!
//! Waiters are keyed by (session, sequence), not by (term, index): whichever
//! leader commits the command and wherever in the log, its outcome is the one,
//! because the sessions apply it once.

use super::Status;
use super::config::{GROUP_BYTES, NodeConfig};
use super::inbox::{CAPACITY, Input, Proposal};
use crate::engine::{Answer, Engine, Fatal};
use crate::metrics;
use crate::model::{Outcome, SessionId};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::RwLock;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) struct Loop {
    engine: Engine,
    inbox: Receiver<Input>,
    status: Arc<RwLock<Status>>,
    tick: Duration,
    next_tick: Instant,
    /// Received, not taken by raft yet, oldest first.
    queue: VecDeque<Proposal>,
    waiters: Waiters,
    /// Whether the queue has more for raft, which took all of the last group.
    left_over: bool,
    /// Told once that the node can be used; then `None`.
    ready: Option<Sender<()>>,
    stopped: bool,
}

impl Loop {
    pub(super) fn new(
        engine: Engine,
        inbox: Receiver<Input>,
        status: Arc<RwLock<Status>>,
        config: &NodeConfig,
        ready: Sender<()>,
    ) -> Self {
        Self {
            engine,
            inbox,
            status,
            tick: config.tick,
            next_tick: Instant::now() + config.tick,
            queue: VecDeque::new(),
            waiters: Waiters::default(),
            left_over: false,
            ready: Some(ready),
            stopped: false,
        }
    }

    /// Runs until told to stop. Dropping the waiters then tells the proposers.
    pub(super) fn run(mut self) {
        let _guard = EndOnPanic;
        self.start();
        while !self.stopped {
            self.wait();
            self.tick_if_due();
            let began = Instant::now();
            let proposed = self.propose_waiting();
            self.work();
            if proposed > 0 {
                metrics::round(proposed, began.elapsed());
            }
            self.publish_status();
        }
    }

    /// Applies what is known to be committed, then leads if nobody else can:
    /// raft refuses to stand with membership changes unapplied.
    fn start(&mut self) {
        self.work();
        if let Err(error) = self.engine.core().campaign_if_alone() {
            tracing::warn!(%error, "could not stand for election at once");
        }
        self.work();
        self.publish_status();
    }

    /// Waits for input until the next tick, and takes all there is. Does not
    /// wait when a full group has left something over.
    fn wait(&mut self) {
        let now = Instant::now();
        let deadline = if self.left_over { now } else { self.next_tick };
        match self.inbox.recv_deadline(deadline) {
            Ok(input) => self.receive(input),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.stopped = true,
        }
        while !self.stopped && self.queue.len() < CAPACITY {
            match self.inbox.try_recv() {
                Ok(input) => self.receive(input),
                Err(_) => break,
            }
        }
    }

    fn receive(&mut self, input: Input) {
        match input {
            Input::Propose(proposal) => self.queue.push_back(proposal),
            Input::Stop => self.stopped = true,
        }
    }

    /// Ticks that a slow write held up are not made good: they would look like
    /// time in which nobody heard of the leader.
    fn tick_if_due(&mut self) {
        let now = Instant::now();
        if now >= self.next_tick {
            self.engine.core().tick();
            self.next_tick = now + self.tick;
            self.forget_expired(now);
        }
    }

    /// Proposes what waits, up to one group; returns how many.
    fn propose_waiting(&mut self) -> usize {
        let (mut count, mut bytes) = (0, 0);
        while let Some(proposal) = self.queue.front()
            && (count == 0 || bytes + proposal.data.len() <= GROUP_BYTES)
            && self.engine.core().propose(proposal.data.clone()).is_ok()
        {
            let Some(proposal) = self.queue.pop_front() else {
                break;
            };
            bytes += proposal.data.len();
            count += 1;
            self.waiters.add(proposal);
        }
        // When raft takes nothing, trying again at once would only burn time.
        self.left_over = count > 0 && !self.queue.is_empty();
        count
    }

    fn work(&mut self) {
        let waiters = &mut self.waiters;
        let done = self
            .engine
            .run(&mut undeliverable, &mut |answer| waiters.answer(answer));
        if let Err(fatal) = done {
            end_process(&fatal);
        }
        if self.engine.core().is_settled()
            && let Some(ready) = self.ready.take()
        {
            // Whoever waits for this may look at the status next.
            self.publish_status();
            // Nobody receives it if opening has timed out.
            let _ = ready.send(());
        }
    }

    /// Lets go of proposals whose proposers have stopped waiting.
    fn forget_expired(&mut self, now: Instant) {
        self.queue.retain(|proposal| proposal.deadline > now);
        self.waiters.forget_expired(now);
    }

    fn publish_status(&mut self) {
        let pending = self.queue.len() + self.waiters.waiting.len() + self.inbox.len();
        *self.status.write() = Status::of(self.engine.core().raft(), pending);
    }
}

/// Proposals in the log whose outcome is not known yet.
#[derive(Default)]
struct Waiters {
    waiting: HashMap<(SessionId, u64), Waiter>,
}

struct Waiter {
    answer: Sender<Outcome>,
    span: tracing::Span,
    deadline: Instant,
}

impl Waiters {
    fn add(&mut self, proposal: Proposal) {
        let Proposal {
            session,
            sequence,
            data,
            deadline,
            span,
            answer,
        } = proposal;
        span.in_scope(|| tracing::debug!(sequence, bytes = data.len(), "proposed"));
        let waiter = Waiter {
            answer,
            span,
            deadline,
        };
        self.waiting.insert((session, sequence), waiter);
    }

    fn answer(
        &mut self,
        Answer {
            session,
            sequence,
            outcome,
            index,
        }: Answer,
    ) {
        // An outcome that is forgotten stays unknown: its proposer times out.
        let Some(outcome) = outcome else { return };
        let Some(waiter) = self.waiting.remove(&(session, sequence)) else {
            return;
        };
        waiter
            .span
            .in_scope(|| tracing::debug!(sequence, index, ?outcome, "applied"));
        // The proposer may have stopped waiting.
        let _ = waiter.answer.send(outcome);
    }

    fn forget_expired(&mut self, now: Instant) {
        self.waiting.retain(|_, waiter| waiter.deadline > now);
    }
}

/// There are no other nodes.
fn undeliverable(message: raft::eraftpb::Message) {
    tracing::warn!(
        to = message.to,
        "a raft message for a node that there is not"
    );
}

/// Ends the process: after a failed write nobody knows what is on the disk, and
/// whatever this node said next could break what it has promised.
fn end_process(fatal: &Fatal) -> ! {
    tracing::error!(error = %fatal, "the replicator cannot go on, ending the process");
    std::process::abort();
}

/// A panic of the loop is a broken invariant of raft or ours, and must not
/// leave behind a mount whose every write hangs.
struct EndOnPanic;

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the replicator's loop panicked, ending the process");
            std::process::abort();
        }
    }
}
