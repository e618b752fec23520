//! The loop: the one thread that owns raft and writes to the database.
//!
//! Each round waits for input or the next tick, takes all input that is there, and
//! lets the peer do what is to be done. What it does is the peer's matter; here are
//! only the channel, the clock and the end of the process.

use super::inbox::{CAPACITY, Input, Waiter};
use super::outbox::Outbox;
use super::recent::Recent;
use super::{metrics, status};
use crate::engine::Fatal;
use crate::model::SessionId;
use crate::peer::{Message, Output, Peer, Request, RequestKind, Response};
use crate::replica::Observer;
use crate::rpc::Status;
use crate::storage::Database;
use crossbeam_channel::{Receiver, Sender};
use parking_lot::RwLock;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A node's way to the others, and theirs to it.
pub(super) struct LoopIo {
    /// What comes from other nodes; their messages may be lost, callers' may not.
    pub(super) wire: Receiver<Input>,
    /// `None` for a node alone.
    pub(super) outbox: Option<Outbox>,
    /// What changed of late, for clients.
    pub(super) recent: Option<Arc<Recent>>,
    /// Who is told what others change.
    pub(super) observer: Option<Arc<dyn Observer>>,
    /// Of this node's own commands, of which the observer is not told.
    pub(super) session: SessionId,
}

pub(super) struct Loop {
    peer: Peer<Waiter>,
    inbox: Receiver<Input>,
    io: LoopIo,
    database: Arc<Database>,
    status: Arc<RwLock<Status>>,
    tick: Duration,
    next_tick: Instant,
    /// Told once that the node can be used; then `None`.
    ready: Option<Sender<()>>,
    stopped: bool,
}

impl Loop {
    pub(super) fn new(
        peer: Peer<Waiter>,
        database: Arc<Database>,
        inbox: Receiver<Input>,
        io: LoopIo,
        status: Arc<RwLock<Status>>,
        tick: Duration,
        ready: Sender<()>,
    ) -> Self {
        Self {
            peer,
            inbox,
            io,
            database,
            status,
            tick,
            next_tick: Instant::now() + tick,
            ready: Some(ready),
            stopped: false,
        }
    }

    /// Runs until told to stop. Dropping the peer then tells its callers.
    pub(super) fn run(mut self) {
        let _guard = EndOnPanic;
        let io = &self.io;
        or_abort(self.peer.start(&mut |output| io.deliver(output)));
        self.settle();
        while !self.stopped {
            self.wait();
            self.tick_if_due();
            let began = Instant::now();
            let io = &self.io;
            let proposed = or_abort(self.peer.run(&mut |output| io.deliver(output)));
            if proposed > 0 {
                metrics::round(proposed, began.elapsed());
            }
            self.settle();
        }
    }

    /// Tells whom it concerns where the node stands.
    fn settle(&mut self) {
        self.tell_ready();
        self.publish_status();
        let applied = self.peer.raft().raft_log.applied;
        if let Some(outbox) = &mut self.io.outbox {
            or_abort(outbox.follow(applied, &self.database).map_err(Fatal::from));
        }
    }

    /// Waits for input until the next tick, and takes all there is. Does not
    /// wait when a full group has left something over.
    fn wait(&mut self) {
        let now = Instant::now();
        let left_over = self.peer.left_over();
        let deadline = if left_over { now } else { self.next_tick };
        crossbeam_channel::select! {
            recv(self.inbox) -> input => match input {
                Ok(input) => self.receive(input),
                Err(_) => self.stopped = true,
            },
            recv(self.io.wire) -> input => input.into_iter().for_each(|input| self.receive(input)),
            default(deadline.saturating_duration_since(now)) => {}
        }
        for _ in 0..CAPACITY {
            match self.io.wire.try_recv() {
                Ok(input) => self.receive(input),
                Err(_) => break,
            }
        }
        while !self.stopped && self.peer.queued() < CAPACITY {
            match self.inbox.try_recv() {
                Ok(input) => self.receive(input),
                Err(_) => break,
            }
        }
    }

    fn receive(&mut self, input: Input) {
        match input {
            Input::Request(request) => {
                log(&request);
                self.peer.ask(request);
            }
            Input::Message(message) => self.peer.receive(message),
            Input::Snapshot(message, laid) => self.peer.receive_snapshot(message, laid),
            Input::Unreachable(node) => self.peer.unreachable(node),
            Input::SnapshotSent { to, arrived } => self.peer.snapshot_sent(to, arrived),
            Input::Stop => self.stopped = true,
        }
    }

    /// Ticks that a slow write held up are not made good: they would look like
    /// time in which nobody heard of the leader.
    fn tick_if_due(&mut self) {
        let now = Instant::now();
        if now >= self.next_tick {
            self.peer.tick(now);
            self.next_tick = now + self.tick;
        }
    }

    fn tell_ready(&mut self) {
        if self.peer.is_settled()
            && let Some(ready) = self.ready.take()
        {
            // Whoever waits for this may look at the status next.
            self.publish_status();
            // Nobody receives it if opening has timed out.
            let _ = ready.send(());
        }
    }

    fn publish_status(&mut self) {
        let pending = self.peer.pending() + self.inbox.len();
        *self.status.write() = status::status_of(self.peer.raft(), pending);
    }
}

fn log(Request { kind, caller, .. }: &Request<Waiter>) {
    if let RequestKind::Propose(proposal) = kind {
        let ((_, sequence), bytes) = (proposal.key(), proposal.data().len());
        caller
            .span
            .in_scope(|| tracing::debug!(sequence, bytes, "proposed"));
    }
}

impl LoopIo {
    fn deliver(&self, output: Output<Waiter>) {
        match output {
            Output::Send(message) => match &self.outbox {
                Some(outbox) => outbox.send(message),
                None => undeliverable(&message),
            },
            Output::SendSnapshot { message, state } => match &self.outbox {
                Some(outbox) => outbox.send_snapshot(message, state),
                None => undeliverable(&message),
            },
            Output::Respond(caller, response) => {
                if let Response::Outcome { outcome, index } = &response {
                    caller
                        .span
                        .in_scope(|| tracing::debug!(index, ?outcome, "applied"));
                }
                // The caller may have stopped waiting.
                let _ = caller.response.send(response);
            }
            Output::Applied { session, command } if session != self.session => {
                self.tell(|observer| observer.applied(&command));
            }
            Output::Applied { .. } => {}
            Output::Changed(changed) => {
                if let Some(recent) = &self.recent {
                    recent.add(changed);
                }
            }
            Output::Replaced { index } => {
                if let Some(recent) = &self.recent {
                    recent.begin_at(index);
                }
                self.tell(|observer| observer.replaced());
            }
        }
    }

    fn tell(&self, what: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = &self.observer {
            what(&**observer);
        }
    }
}

/// There are no other nodes.
fn undeliverable(message: &Message) {
    tracing::warn!(to = message.to, "a message for a node that there is not");
}

/// Ends the process where the peer cannot go on: after a failed write nobody knows
/// what is on the disk, and whatever this node said next could break what it has
/// promised.
fn or_abort<T>(done: Result<T, Fatal>) -> T {
    done.unwrap_or_else(|fatal| {
        tracing::error!(error = %fatal, "the replicator cannot go on, ending the process");
        std::process::abort();
    })
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
