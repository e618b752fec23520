//! The replicator's failpoints; see [`gitmoor_instrument::failpoint`].

pub use gitmoor_instrument::failpoint::{Failpoint, arm};

gitmoor_instrument::failpoints! {
    /// Entries and votes are staged, not yet written.
    RAFT_UNWRITTEN = "raft::unwritten";
    /// Entries are durable; what they do is not applied.
    RAFT_WRITTEN = "raft::written";
    /// Their effects are written; nobody has been told.
    RAFT_APPLIED = "raft::applied";
    /// A command is about to be applied, perhaps with others before it in the batch.
    APPLY = "raft::apply";
    /// What compaction takes away is staged.
    COMPACTION_STAGED = "compaction::staged";
    /// The log is compacted.
    COMPACTION_WRITTEN = "compaction::written";
    /// A piece of the state is about to be read, for another node or for a backup.
    SNAPSHOT_TAKING = "snapshot::taking";
    /// Some rows of a received snapshot are about to be written beside the state.
    SNAPSHOT_LAYING = "snapshot::laying";
    /// All of them are there.
    SNAPSHOT_LAID = "snapshot::laid";
    /// The state is about to be replaced by them.
    SNAPSHOT_STAGED = "snapshot::staged";
    /// A received snapshot is written.
    SNAPSHOT_WRITTEN = "snapshot::written";
}
