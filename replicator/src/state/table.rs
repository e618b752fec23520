//! The tables, each a column family of RocksDB.

use serde::{Deserialize, Serialize};

/// A column family. The number is written into snapshots: never reuse one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum Table {
    /// Raft entries by index (big-endian).
    RaftLog = 0,
    /// What raft must remember, and the version of the data directory.
    RaftState = 1,
    /// Repository id → `Repo`.
    Repositories = 2,
    /// Namespace path → what stands there.
    Names = 3,
    /// Repository id, path → `RefEntry`.
    Refs = 4,
    /// Repository id, ref name → `PackedRef`.
    Packed = 5,
    /// Repository id, path → `FileEntry`.
    Catalog = 6,
    /// Repository id, path → block digests, 16 bytes each.
    Blocks = 7,
    /// Sessions and their outcomes.
    Sessions = 8,
    /// Audit trails: repository id → head; with version and ordinal → a record.
    Audit = 9,
    /// Removed repositories and object files.
    Trash = 10,
    /// The cluster: its id, its members, and who is invited.
    Members = 11,
    /// Repositories that are brought in, and which of their files were read back.
    Imports = 12,
    /// Files beside repositories, by the version that wrote them: their bytes, and where they stand.
    Contents = 13,
    /// Repository id, id of a node or client → the hooks that the repository has there.
    Hooks = 14,
    /// Users of the doors, their groups and tokens, and what is granted to whom.
    Access = 15,
}

impl Table {
    /// Every table, in the order of its number.
    pub const ALL: [Self; 16] = [
        Self::RaftLog,
        Self::RaftState,
        Self::Repositories,
        Self::Names,
        Self::Refs,
        Self::Packed,
        Self::Catalog,
        Self::Blocks,
        Self::Sessions,
        Self::Audit,
        Self::Trash,
        Self::Members,
        Self::Imports,
        Self::Contents,
        Self::Hooks,
        Self::Access,
    ];

    /// The tables that make up the replicated state: what apply writes and a
    /// snapshot carries. The raft tables are each node's own.
    pub const STATE: [Self; 14] = [
        Self::Repositories,
        Self::Names,
        Self::Refs,
        Self::Packed,
        Self::Catalog,
        Self::Blocks,
        Self::Sessions,
        Self::Audit,
        Self::Trash,
        Self::Members,
        Self::Imports,
        Self::Contents,
        Self::Hooks,
        Self::Access,
    ];

    /// The name of its column family.
    pub fn name(self) -> &'static str {
        match self {
            Self::RaftLog => "raft_log",
            Self::RaftState => "raft_state",
            Self::Repositories => "repositories",
            Self::Names => "names",
            Self::Refs => "refs",
            Self::Packed => "packed",
            Self::Catalog => "catalog",
            Self::Blocks => "blocks",
            Self::Sessions => "sessions",
            Self::Audit => "audit",
            Self::Trash => "trash",
            Self::Members => "members",
            Self::Imports => "imports",
            Self::Contents => "contents",
            Self::Hooks => "hooks",
            Self::Access => "access",
        }
    }

    /// The table of a snapshot's table number.
    pub(crate) fn of_number(number: u8) -> Option<Self> {
        Self::STATE.into_iter().find(|&table| table as u8 == number)
    }
}
