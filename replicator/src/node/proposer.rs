//! The callers' side of the loop: a request in, its response out.

use super::config::NodeConfig;
use super::inbox::{Input, Waiter};
use crate::model::{Actor, Command, Envelope, Outcome, SessionId, Timestamp};
use crate::peer::{Request, RequestKind, Response};
use crate::replica::{ProposeError, proposal};
use crate::trace;
use crossbeam_channel::{RecvTimeoutError, SendTimeoutError, Sender};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often somebody who waits is asked whether to go on.
const POLL: Duration = Duration::from_millis(100);

pub(super) struct Proposer {
    inbox: Sender<Input>,
    node: u64,
    session: SessionId,
    /// The last sequence number given out.
    sequence: AtomicU64,
    timeout: Duration,
    max_entry_bytes: usize,
}

impl Proposer {
    pub(super) fn new(inbox: Sender<Input>, node: u64, config: &NodeConfig) -> Self {
        Self {
            inbox,
            node,
            session: SessionId::random(),
            sequence: AtomicU64::new(0),
            timeout: config.propose_timeout,
            max_entry_bytes: config.max_entry_bytes,
        }
    }

    /// Whose commands these are.
    pub(super) fn session(&self) -> SessionId {
        self.session
    }

    /// How long a response is waited for.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Has the loop end.
    pub(super) fn stop(&self) {
        // It may have ended already; then nobody receives this.
        let _ = self.inbox.send(Input::Stop);
    }

    /// Commits a command and waits for its outcome.
    pub(super) fn commit(&self, actor: Actor, command: Command) -> Result<Outcome, ProposeError> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let envelope = self.envelope(actor, sequence, command);
        let proposal = match proposal(&envelope, self.max_entry_bytes)? {
            Ok(proposal) => proposal,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        match self.ask(RequestKind::Propose(proposal), &|| false)? {
            Response::Outcome { outcome, .. } => Ok(outcome),
            other => unreachable!("a command has an outcome, not {other:?}"),
        }
    }

    /// Hands a request to the loop and waits for its response, until `give_up` says not to.
    pub(super) fn ask(
        &self,
        kind: RequestKind,
        give_up: &dyn Fn() -> bool,
    ) -> Result<Response, ProposeError> {
        let timeout = self.timeout;
        let deadline = Instant::now() + timeout;
        let (response, responded) = crossbeam_channel::bounded(1);
        let span = tracing::Span::current();
        let request = Request {
            kind,
            deadline,
            caller: Waiter { response, span },
        };
        match self.inbox.send_deadline(Input::Request(request), deadline) {
            Ok(()) => {}
            Err(SendTimeoutError::Timeout(_)) => return Err(ProposeError::Timeout(timeout)),
            Err(SendTimeoutError::Disconnected(_)) => return Err(ProposeError::Stopped),
        }
        loop {
            let until = deadline.min(Instant::now() + POLL);
            match responded.recv_deadline(until) {
                Ok(response) => return Ok(response),
                // The loop lets go of what has expired, perhaps before we wake up.
                Err(RecvTimeoutError::Disconnected) if Instant::now() < deadline => {
                    return Err(ProposeError::Stopped);
                }
                Err(_) if Instant::now() >= deadline => return Err(ProposeError::Timeout(timeout)),
                Err(_) if give_up() => return Err(ProposeError::GivenUp),
                Err(_) => {}
            }
        }
    }

    fn envelope(&self, actor: Actor, sequence: u64, command: Command) -> Envelope {
        Envelope {
            session: self.session,
            sequence,
            time: Timestamp::now(),
            actor: Actor {
                node: Some(self.node),
                ..actor
            },
            command,
            trace: trace::context(),
        }
    }
}
