//! What may be asked of the replicator, and what it answers.

use super::{
    BlockDigest, FileEntry, Format, NamePath, PackedRef, RepoId, RepoPath, SessionId, Timestamp,
    Version,
};
use serde::{Deserialize, Serialize};

/// Who asked: for the audit trail.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Actor {
    /// User id of the calling process; `None` for the daemon itself.
    pub uid: Option<u32>,
    /// Its process id.
    pub pid: Option<u32>,
}

/// One raft entry: a command and what makes it apply exactly once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// The proposer.
    pub session: SessionId,
    /// Counts up from 1 within the session; a number names one command for
    /// good. Commands of a session may overtake one another. An entry whose
    /// sequence was already applied answers the kept outcome.
    pub sequence: u64,
    /// The proposer's clock. Apply uses this and no clock of its own.
    pub time: Timestamp,
    /// Who asked.
    pub actor: Actor,
    /// What.
    pub command: Command,
}

/// A change of the truth.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// mkdir of a namespace directory. The parent must exist.
    CreateDirectory {
        /// Must not name a repository.
        path: NamePath,
    },
    /// rmdir of an empty namespace directory.
    RemoveDirectory {
        /// Which.
        path: NamePath,
    },
    /// A new, empty repository. The parent must exist.
    CreateRepo {
        /// Its permanent name.
        id: RepoId,
        /// Must name a repository.
        path: NamePath,
    },
    /// Moves a namespace directory or a repository (with all beneath it). The target's
    /// parent must exist, the target must not.
    Rename {
        /// From here …
        from: NamePath,
        /// … to here. Names a repository exactly if `from` does.
        to: NamePath,
    },
    /// Moves a repository to the trash.
    DeleteRepo {
        /// Which.
        id: RepoId,
    },
    /// Records the format that git (or `repo create`) chose.
    SetFormat {
        /// Of which repository.
        id: RepoId,
        /// The format.
        format: Format,
    },
    /// Sets (or, with `None`, removes) a replicated setting.
    SetSetting {
        /// Of which repository.
        id: RepoId,
        /// A git configuration key such as `gc.auto`.
        key: String,
        /// Its value.
        value: Option<String>,
    },
    /// Object files and refs of one repository, all or nothing.
    Commit(RepoChange),
}

/// "These object files exist, and these refs moved": a push is one of these.
/// Every expectation is checked first; if one fails nothing is changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RepoChange {
    /// Of which repository.
    pub repo: RepoId,
    /// Object files that exist now (or have new content: mutable names).
    pub add: Vec<FileAdd>,
    /// Object files that are gone.
    pub remove: Option<FileRemoval>,
    /// Loose refs and other files of the refs room, in order.
    pub refs: Vec<RefEdit>,
    /// Lines of `packed-refs`.
    pub packed: Vec<PackedEdit>,
}

impl Command {
    /// A short name of its kind, for metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CreateDirectory { .. } => "create_directory",
            Self::RemoveDirectory { .. } => "remove_directory",
            Self::CreateRepo { .. } => "create_repo",
            Self::Rename { .. } => "rename",
            Self::DeleteRepo { .. } => "delete_repo",
            Self::SetFormat { .. } => "set_format",
            Self::SetSetting { .. } => "set_setting",
            Self::Commit(_) => "commit",
        }
    }
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
}

/// An object file to add to the catalog.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileAdd {
    /// Its path: `objects/…`.
    pub path: RepoPath,
    /// What it is.
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
}

/// What must be true of a ref before an edit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Expect {
    /// Nothing in particular.
    Anything,
    /// There is no loose entry of this name.
    Absent,
    /// The loose entry is still the one of this version.
    Is(Version),
}

/// An edit of one file of the refs room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefEdit {
    /// `HEAD`, `refs/heads/main`, `shallow`, `reftable/tables.list`, ….
    pub name: RepoPath,
    /// The compare of the compare-and-swap.
    pub expect: Expect,
    /// What to do.
    pub change: Change,
}

/// What an edit does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Change {
    /// Writes the whole value.
    Set {
        /// `st_mode`, see [`super::RefEntry::mode`].
        mode: u32,
        /// The bytes.
        value: Vec<u8>,
    },
    /// Adds bytes at the end (big reftables come in pieces). Creates a missing
    /// entry as a regular file of mode 0444.
    Append {
        /// The bytes.
        value: Vec<u8>,
    },
    /// Changes permission bits only.
    SetMode {
        /// `st_mode`.
        mode: u32,
    },
    /// Removes the entry; one that is absent already is no error.
    Delete,
}

/// An edit of the packed table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PackedEdit {
    /// Empties the table (before the first `Set` of a rewrite, or alone when
    /// `packed-refs` is unlinked or becomes an unusual file).
    Clear,
    /// Writes one line.
    Set {
        /// Full ref name.
        name: RepoPath,
        /// Its line.
        line: PackedRef,
    },
    /// Removes one line.
    Delete {
        /// Full ref name.
        name: RepoPath,
    },
}

/// What apply answers. A refusal changed nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// Done, with this version.
    Done(Version),
    /// Not done.
    Refused(Refusal),
}

/// Why a command was refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The namespace path exists already.
    #[error("{0} exists already")]
    Exists(NamePath),
    /// There is no such path in the namespace.
    #[error("{0} does not exist")]
    NotFound(NamePath),
    /// A namespace directory still has entries.
    #[error("{0} is not empty")]
    NotEmpty(NamePath),
    /// The path may not be used so (a repository inside a repository, a
    /// repository name for a directory or the other way round).
    #[error(
        "{0} cannot be used so: repository names end in .git, directory names do not, and repositories do not nest"
    )]
    BadPath(NamePath),
    /// There is no such repository.
    #[error("repository {0} does not exist")]
    NoRepo(RepoId),
    /// A ref is not what the command expected.
    #[error("{name} changed meanwhile")]
    RefMoved {
        /// Which.
        name: RepoPath,
        /// Its version now; `None` when it is absent.
        actual: Option<Version>,
    },
    /// A loose ref would be both a file and a directory.
    #[error("{name} conflicts with {with}")]
    DirectoryConflict {
        /// The ref to write.
        name: RepoPath,
        /// The ref that is in the way.
        with: RepoPath,
    },
    /// A removal came too late: refs moved since the walk that justified it.
    #[error("refs moved since the walk that found these files unneeded")]
    RefsMoved {
        /// The repository's refs version now.
        actual: Version,
    },
}
