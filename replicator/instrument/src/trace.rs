//! Traces: what one command of git did, on every node that it touched.
//!
//! Spans are `tracing`'s, with a target of their own: while nobody exports traces no subscriber
//! wants them, and each costs one load. Who exports them says by a [`Carrier`] how a span is
//! named to another node; that name travels in the envelope of a command.

pub use gitmoor_model::TraceContext;

use std::sync::OnceLock;
use tracing::{Span, trace_span};

/// The target of the spans that belong to traces.
pub const TARGET: &str = "gitmoor_trace";

/// Between spans and their names.
pub trait Carrier: Send + Sync {
    /// The name of a span; `None` if it is not exported.
    fn context(&self, span: &Span) -> Option<TraceContext>;

    /// Makes a span, which nobody has entered yet, a child of one of another node.
    fn adopt(&self, span: &Span, parent: TraceContext);
}

static CARRIER: OnceLock<Box<dyn Carrier>> = OnceLock::new();

/// From now on there are traces. The first carrier stays.
pub fn start(carrier: Box<dyn Carrier>) {
    // A second one would be another daemon in the same process.
    let _ = CARRIER.set(carrier);
}

/// Whether there are any.
#[inline]
pub fn is_on() -> bool {
    CARRIER.get().is_some()
}

/// A step of what this thread does, if that belongs to a trace; `about` says what it concerns.
pub fn step(name: &'static str, about: impl FnOnce() -> String) -> Span {
    if !is_on() || !is_traced() {
        return Span::none();
    }
    trace_span!(target: TARGET, "step", otel.name = name, about = about())
}

/// Whether this thread works for something that is traced.
fn is_traced() -> bool {
    let metadata = Span::current().metadata();
    metadata.is_some_and(|metadata| metadata.target() == TARGET)
}

/// The name of what this thread does, for the other nodes.
pub fn context() -> Option<TraceContext> {
    let carrier = CARRIER.get().filter(|_| is_traced())?;
    carrier.context(&Span::current())
}

/// The applying of a command that a traced step has proposed, here or on another node.
pub fn applying(parent: Option<TraceContext>, node: u64, index: u64) -> Span {
    let (Some(carrier), Some(parent)) = (CARRIER.get(), parent) else {
        return Span::none();
    };
    let span = trace_span!(target: TARGET, parent: None, "apply", node, index);
    carrier.adopt(&span, parent);
    span
}
