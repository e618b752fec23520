//! What the loop receives.

use crate::peer::{Message, Request, Response};
use crate::storage::Laid;
use crossbeam_channel::Sender;

/// Inputs that wait for the loop; more make their senders wait. Together with
/// what the loop has taken this stays far below the window of sequence numbers
/// whose outcomes are kept.
pub(super) const CAPACITY: usize = 1024;

pub(super) enum Input {
    Request(Request<Waiter>),
    Message(Message),
    /// Of another node, with its rows.
    Snapshot(Message, Laid),
    /// Messages to this node do not arrive.
    Unreachable(u64),
    SnapshotSent {
        to: u64,
        arrived: bool,
    },
    Stop,
}

/// Who waits for a response.
pub(super) struct Waiter {
    pub(super) response: Sender<Response>,
    /// The caller's, so that what happens to a command is logged with the request
    /// that caused it.
    pub(super) span: tracing::Span,
}
