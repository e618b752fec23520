//! One member of the cluster, sans-IO: what the node's thread runs, and what the
//! simulation runs.
//!
//! Put in: requests of local callers, messages of other members, ticks. Then
//! [`Peer::run`] does everything there is to do on the disk and hands out messages
//! and answers. It has no threads, sockets, clocks or generators of its own: two
//! peers that are given the same are the same.
//!
//! A request waits here, through as many leaders as it takes, until it is answered
//! or its deadline is over; its caller is then let go of without an answer. A command
//! goes to whoever leads, as often as needed: its session applies it once. Its
//! outcome is never sent back, for every member applies every command and so comes
//! to know it, and then the caller can also read what it wrote here.

pub mod carried;
mod change;
mod message;
mod propose;
mod read;
mod retry;

pub use change::{Change, ChangeError};
pub use message::{Body, Message, Unintelligible, VERSION};

pub(crate) use propose::GROUP_BYTES;

use crate::engine::{
    Applied, Changed, Compaction, Engine, Event, Fatal, Incarnation, Leadership, RaftLimits,
};
use crate::model::{Command, Outcome, Proposal, SessionId};
use crate::storage::{Disk, Frozen, Laid, Log, OpenError};
use change::MembershipChanges;
use propose::Proposals;
use raft::Raft;
use raft::eraftpb::Message as RaftMessage;
use read::Reads;
use std::sync::Arc;
use std::time::Instant;

/// What somebody on this machine wants of a member.
#[derive(Debug)]
pub enum RequestKind {
    /// To commit a command. Answered by its [`Response::Outcome`].
    Propose(Proposal),
    /// To read what was acknowledged anywhere before. Answered by
    /// [`Response::Readable`].
    Read,
    /// To change the membership. Only the leader does. Answered by
    /// [`Response::Changed`] or [`Response::NotChanged`].
    Change(Change),
}

/// Something asked for, by somebody.
#[derive(Debug)]
pub struct Request<C> {
    /// What is asked for.
    pub kind: RequestKind,
    /// When the caller stops waiting.
    pub deadline: Instant,
    /// Whom the response goes to.
    pub caller: C,
}

/// The response to a [`Request`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Response {
    /// The command is committed, durable on a quorum, and applied here.
    Outcome {
        /// What the state machine answered.
        outcome: Outcome,
        /// At which raft index it was applied here, for the first or another time.
        index: u64,
    },
    /// A read from now on sees all that was acknowledged before it was asked for.
    Readable,
    /// The membership is as it was asked for.
    Changed,
    /// It is not, or not for sure.
    NotChanged(ChangeError),
}

/// What comes out of a peer.
#[derive(Debug)]
pub enum Output<C> {
    /// To send to another member.
    Send(Message),
    /// To send to another member with the rows of this state ([`carried`]). The member must be told what became of
    /// it ([`Peer::snapshot_sent`]).
    SendSnapshot {
        /// A [`Body::Snapshot`] without rows.
        message: Message,
        /// The state whose rows are sent.
        state: Frozen,
    },
    /// To hand to a caller.
    Respond(C, Response),
    /// Rows of the state changed. Comes before what follows of it.
    Changed(Changed),
    /// A command changed the state. Comes before the answer to any read that must see it.
    Applied {
        /// Whose command it was.
        session: SessionId,
        /// The command that was applied.
        command: Command,
    },
    /// A snapshot took the place of the state. Comes before such answers too.
    Replaced {
        /// The last entry whose effects are in it.
        index: u64,
    },
}

/// A member of the cluster, without I/O.
pub struct Peer<C> {
    engine: Engine,
    ticks: u64,
    /// Whom the requests that wait were last sent to.
    leadership: Leadership,
    proposals: Proposals<C>,
    reads: Reads<C>,
    changes: MembershipChanges<C>,
}

impl<C> Peer<C> {
    /// A member over a prepared disk. [`Peer::start`] comes next.
    pub fn open(
        incarnation: Incarnation,
        disk: Arc<impl Disk + 'static>,
        limits: RaftLimits,
        compaction: Compaction,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            engine: Engine::open(incarnation, disk, limits, compaction)?,
            ticks: 0,
            leadership: Leadership::default(),
            proposals: Proposals::default(),
            reads: Reads::new(incarnation),
            changes: MembershipChanges::default(),
        })
    }

    /// Applies what is known to be committed, then leads if nobody else can: raft
    /// refuses to stand with membership changes unapplied.
    pub fn start(&mut self, out: &mut dyn FnMut(Output<C>)) -> Result<(), Fatal> {
        self.run(out)?;
        if let Err(error) = self.engine.core().campaign_if_alone() {
            tracing::warn!(%error, "could not stand for election at once");
        }
        self.run(out)?;
        Ok(())
    }

    /// Raft, to look at.
    pub fn raft(&self) -> &Raft<Log> {
        self.engine.raft()
    }

    /// Whether this member leads and has applied all that was committed before.
    pub fn is_settled(&mut self) -> bool {
        self.engine.core().is_settled()
    }

    /// Requests that are not answered yet.
    pub fn pending(&self) -> usize {
        self.proposals.len() + self.reads.len() + self.changes.len()
    }

    /// Commands that wait to be proposed.
    pub fn queued(&self) -> usize {
        self.proposals.queued()
    }

    /// Whether there is more to propose than one group, so that the next
    /// [`Peer::run`] should not wait.
    pub fn left_over(&self) -> bool {
        self.proposals.left_over()
    }

    /// Takes a request; its response is a later output.
    pub fn ask(&mut self, request: Request<C>) {
        let Request {
            kind,
            deadline,
            caller,
        } = request;
        match kind {
            RequestKind::Propose(proposal) => self.proposals.add(proposal, deadline, caller),
            RequestKind::Read => self.reads.add(deadline, caller),
            RequestKind::Change(change) => self.changes.add(change, deadline, caller),
        }
    }

    /// Lets one tick of raft's clock pass.
    pub fn tick(&mut self, now: Instant) {
        self.ticks += 1;
        self.engine.core().tick();
        self.proposals.pass(self.ticks, now);
        self.reads.pass(now);
        self.changes.pass(now);
    }

    /// Takes a message of another member.
    pub fn receive(&mut self, message: Message) {
        let Message { from, to, body } = message;
        if to != self.engine.raft().id {
            tracing::warn!(from, to, "a message for another node");
            return;
        }
        match body {
            Body::Raft(bytes) => {
                let message = message::raft_message(from, &bytes, false);
                self.step(from, message, |engine, message| engine.core().step(message));
            }
            Body::Snapshot(_) => tracing::warn!(from, "a snapshot without its rows"),
            Body::Propose(data) => propose::for_another(self.engine.core(), from, data),
        }
    }

    /// Takes a [`Body::Snapshot`], whose rows lie beside the state.
    pub fn receive_snapshot(&mut self, message: Message, laid: Laid) {
        match message {
            Message {
                from,
                to,
                body: Body::Snapshot(bytes),
            } if to == self.engine.raft().id => {
                let message = message::raft_message(from, &bytes, true);
                self.step(from, message, |engine, message| {
                    engine.receive_snapshot(message, laid)
                });
            }
            Message { from, to, .. } => {
                tracing::warn!(from, to, "no snapshot, or one for another node");
            }
        }
    }

    fn step(
        &mut self,
        from: u64,
        message: Result<RaftMessage, Unintelligible>,
        step: impl FnOnce(&mut Engine, RaftMessage) -> raft::Result<()>,
    ) {
        // An error is no harm: a message from a stranger, or one that comes too late.
        match message.map(|message| step(&mut self.engine, message)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(from, %error, "raft does not take a message"),
            Err(error) => tracing::warn!(from, %error, "not a raft message"),
        }
    }

    /// A [`Body::Snapshot`] arrived whole, or will not. Must be told of each, or raft
    /// never sends that member anything again.
    pub fn snapshot_sent(&mut self, to: u64, arrived: bool) {
        let status = if arrived {
            raft::SnapshotStatus::Finish
        } else {
            raft::SnapshotStatus::Failure
        };
        self.engine.core().report_snapshot(to, status);
    }

    /// A message did not reach a member.
    pub fn unreachable(&mut self, member: u64) {
        self.engine.core().report_unreachable(member);
    }

    /// Does everything there is to do; returns how many commands were proposed.
    pub fn run(&mut self, out: &mut dyn FnMut(Output<C>)) -> Result<usize, Fatal> {
        self.follow_leader();
        let core = self.engine.core();
        let proposed = self.proposals.propose(core, self.ticks, out);
        self.reads.ask(core, self.ticks);
        self.changes.begin(core, out);
        let id = self.engine.raft().id;
        let (proposals, reads) = (&mut self.proposals, &mut self.reads);
        self.engine.run(&mut |event| match event {
            Event::Send(message) => out(Output::Send(message::carrying(id, &message))),
            Event::Snapshot { message, state } => {
                let message = message::carrying(id, &message);
                out(Output::SendSnapshot { message, state });
            }
            Event::Applied(applied) => tell_applied(*applied, proposals, out),
            Event::Changed(changed) => out(Output::Changed(changed)),
            Event::Replaced { index } => out(Output::Replaced { index }),
            Event::Readable { context, index } => reads.found(&context, index),
        })?;
        self.reads.answer(self.engine.raft(), out);
        self.changes.answer(self.engine.core(), out);
        Ok(proposed)
    }

    /// What waits goes to a new leader at once, and again to one that was elected
    /// again: it may have lost what it was sent.
    fn follow_leader(&mut self) {
        let leadership = self.engine.core().leadership();
        if leadership != self.leadership {
            self.leadership = leadership;
            self.proposals.ask_again();
            self.reads.ask_again();
        }
    }
}

fn tell_applied<C>(applied: Applied, proposals: &mut Proposals<C>, out: &mut dyn FnMut(Output<C>)) {
    let Applied {
        session,
        sequence,
        outcome,
        index,
        command,
    } = applied;
    // An outcome that is forgotten stays unknown: its caller is let go of later.
    let Some(outcome) = outcome else {
        return;
    };
    if let Outcome::Done(_) = outcome {
        out(Output::Applied { session, command });
    }
    proposals.applied((session, sequence), outcome, index, out);
}
