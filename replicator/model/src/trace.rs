//! The name of a span of a trace, in the envelope of a command.

use serde::{Deserialize, Serialize};

/// A span, as another node knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TraceContext {
    /// Trace id of OpenTelemetry: 16 bytes.
    pub trace: [u8; 16],
    /// Span id of OpenTelemetry: 8 bytes.
    pub span: [u8; 8],
}
