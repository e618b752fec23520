//! The name of a span of a trace, in the envelope of a command.

use serde::{Deserialize, Serialize};

/// A span, as another node knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TraceContext {
    /// OpenTelemetry's trace id.
    pub trace: [u8; 16],
    /// Its span id.
    pub span: [u8; 8],
}
