//! The settings of a node.

use crate::engine::{Compaction, RaftLimits};
use crate::model::MAX_ENTRY;
use crate::peer::GROUP_BYTES;
use crate::replica::PROPOSE_TIMEOUT;
use std::path::PathBuf;
use std::time::Duration;

/// The settings of a node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The data directory: holds the database and nothing else.
    pub dir: PathBuf,
    /// Raft's unit of time.
    pub tick: Duration,
    /// How long a proposal waits for its outcome.
    pub propose_timeout: Duration,
    /// The largest command, serialised. One entry is read and written whole.
    pub max_entry_bytes: usize,
    /// The raft log is compacted at this many applied entries …
    pub compact_entries: u64,
    /// … or this many bytes of them, whichever comes first.
    pub compact_bytes: u64,
}

impl NodeConfig {
    /// The defaults, for a data directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            tick: Duration::from_millis(50),
            propose_timeout: PROPOSE_TIMEOUT,
            max_entry_bytes: MAX_ENTRY,
            compact_entries: 10_000,
            compact_bytes: 256 << 20,
        }
    }

    pub(super) fn limits(&self) -> RaftLimits {
        let group = (GROUP_BYTES + self.max_entry_bytes) as u64;
        RaftLimits {
            uncommitted_bytes: 2 * group,
            batch_bytes: group,
        }
    }

    pub(super) fn compaction(&self) -> Compaction {
        Compaction {
            entries: self.compact_entries,
            bytes: self.compact_bytes,
        }
    }
}
