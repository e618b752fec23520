//! What the loop receives.

use crate::model::{Outcome, SessionId};
use crossbeam_channel::Sender;
use std::time::Instant;

/// Inputs that wait for the loop; more make their senders wait. Together with
/// what the loop has taken this stays far below the window of sequence numbers
/// whose outcomes are kept.
pub(super) const CAPACITY: usize = 1024;

pub(super) enum Input {
    Propose(Proposal),
    Stop,
}

/// A command on its way.
pub(super) struct Proposal {
    pub(super) session: SessionId,
    pub(super) sequence: u64,
    /// The serialised envelope.
    pub(super) data: Vec<u8>,
    /// When the proposer stops waiting.
    pub(super) deadline: Instant,
    /// The proposer's, so that what happens to the command is logged with the
    /// request that caused it.
    pub(super) span: tracing::Span,
    pub(super) answer: Sender<Outcome>,
}
