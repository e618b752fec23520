//! A change of one repository: object files that come and go, and refs that move, all or nothing.

use super::room::{Room, room};
use super::{BlockDigest, FileEntry, PackedRef, RepoId, RepoPath, Version};
use serde::{Deserialize, Serialize};

/// "These object files exist, and these refs moved": a push is one of these.
/// Every expectation is checked first; if one fails nothing is changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RepoChange {
    /// The repository to change.
    pub repo: RepoId,
    /// Object files that exist now (or have new content: mutable names).
    pub add: Vec<FileAdd>,
    /// Object files that are gone.
    pub remove: Option<FileRemoval>,
    /// Loose refs and other files of the refs room, and files of hosts, in order.
    pub refs: Vec<RefEdit>,
    /// Edits of the table of `packed-refs`, in order.
    pub packed: Vec<PackedEdit>,
}

impl RepoChange {
    /// A change of nothing.
    pub fn new(repo: RepoId) -> Self {
        Self {
            repo,
            add: vec![],
            remove: None,
            refs: vec![],
            packed: vec![],
        }
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty()
            && self.remove.is_none()
            && self.refs.is_empty()
            && self.packed.is_empty()
    }

    /// Whether refs, or what is beside them in their room, are concerned: else it needs no object.
    pub fn concerns_refs(&self) -> bool {
        let is_in_room = |edit: &RefEdit| room(&edit.name) == Room::Refs;
        !self.packed.is_empty() || self.refs.iter().any(is_in_room)
    }
}

/// An object file to add to the catalog.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileAdd {
    /// Path of the file, `objects/…`.
    pub path: RepoPath,
    /// The file's size, attributes and digest.
    pub entry: FileEntry,
    /// One digest per block of `entry.block_size`; empty when the file is one
    /// block or less, for then `entry.digest` says it all.
    pub blocks: Vec<BlockDigest>,
}

/// Object files to remove from the catalog into the trash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileRemoval {
    /// Their paths. One that is not in the catalog is skipped.
    pub paths: Vec<RepoPath>,
    /// The removal holds only while [`super::Repo::refs_version`] is not beyond this.
    pub unless_refs_moved_since: Option<Version>,
    /// The same for [`super::Repo::repacked_version`].
    pub unless_repacked_since: Option<Version>,
}

/// What must be true of a ref before an edit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Expect {
    /// Nothing: the edit holds whatever stands there.
    Anything,
    /// There is no loose entry of this name.
    Absent,
    /// The loose entry is still the one of this version; of `packed-refs` without an entry of
    /// its own, the table ([`super::Repo::packed_version`]).
    Is(Version),
}

/// An edit of one file of the refs room, or of a host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefEdit {
    /// `HEAD`, `refs/heads/main`, `shallow`, `reftable/tables.list`, `description`, ….
    pub name: RepoPath,
    /// The compare of the compare-and-swap.
    pub expect: Expect,
    /// The edit itself, if the expectation holds.
    pub change: Change,
}

/// What an edit does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Change {
    /// Writes the whole value.
    Set {
        /// The file's `st_mode`, see [`super::RefEntry::mode`].
        mode: u32,
        /// All bytes of the file.
        value: Vec<u8>,
    },
    /// Adds bytes at the end (big reftables come in pieces). Creates a missing
    /// entry as a regular file of mode 0444.
    Append {
        /// The bytes to add.
        value: Vec<u8>,
    },
    /// What [`Change::Chmod`] was. Entries of earlier versions have it: it makes the entry
    /// another version, and so another file.
    SetMode {
        /// The file's new `st_mode`.
        mode: u32,
    },
    /// Removes the entry; one that is absent already is no error.
    Delete,
    /// Nothing: the whole change only depends on what is expected.
    Keep,
    /// Changes permission bits only. The entry keeps its version: who holds its lock, or has the
    /// file open, goes on.
    Chmod {
        /// The file's new `st_mode`.
        mode: u32,
    },
}

impl Change {
    /// Whether a value may stand there afterwards that did not stand there before.
    pub fn writes(&self) -> bool {
        !matches!(self, Self::Delete | Self::Keep | Self::Chmod { .. })
    }
}

/// An edit of the packed table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PackedEdit {
    /// Empties the table (before the first `Set` of a rewrite, or alone when
    /// `packed-refs` is unlinked or becomes an unusual file).
    Clear,
    /// Writes the line of one ref.
    Set {
        /// Full name of the ref, such as `refs/heads/main`.
        name: RepoPath,
        /// The object that the line names.
        line: PackedRef,
    },
    /// Removes the line of one ref.
    Delete {
        /// Full name of the ref, such as `refs/heads/main`.
        name: RepoPath,
    },
}
