//! What may be asked of the replicator.

use super::TraceContext;
use super::{
    AccessChange, ClaimId, ClusterId, Digest, FileAdd, FileEntry, Format, HooksChange, Importing,
    Limit, NameChange, NamePath, Nesting, Newcomer, Part, RepoChange, RepoId, RepoPath, Scope,
    SecretDigest, SessionId, StoreRecord, Timestamp, Version,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Who asked: for the audit trail.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Actor {
    /// User id of the calling process; `None` for the daemon itself.
    pub uid: Option<u32>,
    /// Process id of the calling process.
    pub pid: Option<u32>,
    /// The node or client through which it asked. A node fills it in, for a client by its
    /// certificate; all else here is the word of that machine.
    pub node: Option<u64>,
    /// What it was started as, without what may be secret in that.
    pub command: Option<String>,
    /// Where its user came from, if somebody served them: an IP address.
    pub address: Option<String>,
}

/// One raft entry: a command and what makes it apply exactly once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// The session of the proposer.
    pub session: SessionId,
    /// Counts up from 1 within the session; a number names one command for
    /// good. Commands of a session may overtake one another. An entry whose
    /// sequence was already applied answers the kept outcome.
    pub sequence: u64,
    /// The proposer's clock. Apply uses this and no clock of its own.
    pub time: Timestamp,
    /// On whose behalf the command was proposed.
    pub actor: Actor,
    /// What apply carries out.
    pub command: Command,
    /// The step that it is for, while that is traced.
    pub trace: Option<TraceContext>,
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
        /// The directory to remove.
        path: NamePath,
    },
    /// A new, empty repository. The parent must exist.
    CreateRepo {
        /// The new repository's permanent name.
        id: RepoId,
        /// Must name a repository.
        path: NamePath,
    },
    /// Moves a namespace directory or a repository (with all beneath it). The target's
    /// parent must exist, the target must not.
    Rename {
        /// The path that the entry has now.
        from: NamePath,
        /// … to here. Names a repository exactly if `from` does.
        to: NamePath,
    },
    /// Moves a repository to the trash.
    DeleteRepo {
        /// The repository to delete.
        id: RepoId,
    },
    /// Records the format that git (or `repo create`) chose.
    SetFormat {
        /// The repository whose format it is.
        id: RepoId,
        /// What git wrote into the `config` of the repository.
        format: Format,
    },
    /// Sets (or, with `None`, removes) a replicated setting.
    SetSetting {
        /// The repository that the setting is of.
        id: RepoId,
        /// A git configuration key such as `gc.auto`.
        key: String,
        /// The new value; `None` removes the setting.
        value: Option<String>,
    },
    /// Object files and refs of one repository, all or nothing.
    Commit(RepoChange),
    /// A [`Command::Commit`] that adds files whose keys were put into the store,
    /// or found there, before it. Refused when one of them may have been
    /// deleted since.
    Publish {
        /// The object files and refs to commit.
        change: RepoChange,
        /// When tombstones of the repository last expired (`read::tombstones_as_of` of the replicator), read before the
        /// first of the keys was put.
        tombstones_as_of: Version,
    },
    /// Takes a repository out of the trash.
    RestoreRepo {
        /// The deleted repository to restore.
        id: RepoId,
        /// Where it shall stand. Must name a repository.
        path: NamePath,
    },
    /// Takes object files out of the trash. One that is not there, or whose path
    /// is catalogued again, is skipped.
    RestoreFiles {
        /// The repository that the files were deleted from.
        repo: RepoId,
        /// The deleted files to restore.
        files: Vec<TrashId>,
    },
    /// Takes files out of the trash for good, and puts a tombstone on each key that then nobody names.
    MarkDeleted(Deletions),
    /// What became of keys with a tombstone.
    RecordDeletion {
        /// The repository that the keys are of.
        repo: RepoId,
        /// Their bytes are deleted; the tombstones stay.
        deleted: Vec<String>,
        /// Their tombstones expire, and they may be used again. One that was not deleted long enough before
        /// ([`KEY_REUSE_DELAY`]) is skipped.
        expire: Vec<String>,
    },
    /// A repository in the trash expires: from here on it cannot be restored.
    ExpireRepo {
        /// The deleted repository that expires.
        id: RepoId,
        /// By which commit it was deleted.
        version: Version,
    },
    /// Forgets all of an expired repository. Nothing of it is in the store any more.
    PurgeRepo {
        /// The expired repository to forget.
        id: RepoId,
    },
    /// What was one node alone is a cluster from here on, with that node in it.
    FoundCluster {
        /// The id of the new cluster.
        id: ClusterId,
        /// The id of the node that becomes its first member.
        node: u64,
        /// Where others will reach it, host:port.
        address: String,
    },
    /// Whoever shows this secret is admitted, once.
    Invite {
        /// Digest of the secret that admits.
        secret: SecretDigest,
        /// Until when, by the proposers' clocks.
        expires: Timestamp,
        /// Whether the secret admits a node or a client.
        part: Part,
    },
    /// Whoever showed a secret is admitted; its id is the version of this.
    Admit {
        /// Digest of the secret that was shown.
        secret: SecretDigest,
        /// The node or client that is admitted.
        newcomer: Newcomer,
    },
    /// A node is reached elsewhere from here on.
    Relocate {
        /// The id of the node that moved.
        node: u64,
        /// The node's new address, host:port.
        address: String,
    },
    /// A node or client is none any more. Of a node, raft's membership comes first.
    RemoveMember {
        /// The id of the node or client.
        node: u64,
    },
    /// Moves refs to objects that were found in the repository before: a
    /// [`Command::Commit`], or a [`Command::Publish`] where something was stored for it.
    /// Refused when objects were removed since they were found, for these may have been among them.
    MoveRefs {
        /// The ref edits to commit, and object files that belong to them.
        change: RepoChange,
        /// As for [`Command::Publish`]; `None` when nothing was stored.
        tombstones_as_of: Option<Version>,
        /// Nothing that was removed up to this commit is missed.
        unpruned: Version,
    },
    /// From here on all nodes keep object files in this store.
    SettleStore(StoreRecord),
    /// Object files take the place of others.
    Repack(Box<Repacking>),
    /// A repository is brought in from elsewhere, step by step.
    Import(Box<Importing>),
    /// Sets (or, with `None`, removes) a limit.
    SetLimit {
        /// The repository that is limited.
        id: RepoId,
        /// The limit to set or to remove.
        limit: Limit,
        /// In the limit's own unit.
        value: Option<u64>,
    },
    /// A new repository with the refs, object files, settings and limits of another. It names the
    /// other's keys; no byte is copied.
    Fork {
        /// The repository that is forked.
        from: RepoId,
        /// The fork's permanent name.
        id: RepoId,
        /// Must name a repository.
        path: NamePath,
    },
    /// New times and permission bits of object files. Nothing else of them changes, and one
    /// that is gone, or has other bytes by now, is skipped.
    Touch {
        /// The repository that the files belong to.
        repo: RepoId,
        /// The files to touch, each with its new attributes.
        files: Vec<FileTouch>,
    },
    /// A [`Command::Invite`] of a client that does not see everything, or changes nothing.
    InviteClient {
        /// Digest of the secret that admits.
        secret: SecretDigest,
        /// Until when, by the proposers' clocks.
        expires: Timestamp,
        /// What the client may see and do.
        scope: Scope,
    },
    /// The store is about to be claimed under this id, by whoever may change all repositories.
    ClaimStore(ClaimId),
    /// Object files of other repositories, which lend them, and whatever else a
    /// [`Command::Commit`], [`Command::Publish`] or [`Command::MoveRefs`] has. The borrower names the
    /// lenders' keys; no byte is copied.
    Borrow(Box<Borrowing>),
    /// A name of the namespace changes: a file, a symbolic link, or whatever is moved.
    Name(Box<NameChange>),
    /// Several of [`Command::SetSetting`], all or nothing.
    SetSettings {
        /// Of which repository.
        id: RepoId,
        /// Key and value, each key once.
        settings: Vec<(String, Option<String>)>,
    },
    /// A repository comes to stand inside another one.
    Nest(Box<Nesting>),
    /// A machine tells of its hooks, or an administrator says which hooks all machines are to have.
    Hooks(Box<HooksChange>),
    /// Who may do what through the doors of `gitmoor serve` changes.
    Access(Box<AccessChange>),
}

/// New attributes of an object file; `None` leaves one as it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileTouch {
    /// Path of the file, `objects/…`.
    pub path: RepoPath,
    /// Its bytes when it was touched.
    pub digest: Digest,
    /// Modification time to set.
    pub mtime: Option<Timestamp>,
    /// Permission bits to set, 0 to 0o7777.
    pub mode: Option<u32>,
}

impl FileTouch {
    /// Changes an entry, if that is still the file that was touched.
    pub fn apply(&self, entry: &mut FileEntry) {
        if entry.digest != self.digest {
            return;
        }
        entry.mtime = self.mtime.unwrap_or(entry.mtime);
        entry.mode = match self.mode {
            Some(mode) => entry.mode & !0o7777 | mode & 0o7777,
            None => entry.mode,
        };
    }
}

/// Refs and object files of a repository that can be forked: a fork is made in one step, which
/// must not take long.
pub const FORK_ROWS: u64 = 1_000_000;

/// How long a tombstone stays on a key after its bytes were deleted, by the clocks of
/// those who propose. A request to the store that its sender has given up may
/// still be carried out; S3 refuses one that was signed more than 15 minutes ago.
pub const KEY_REUSE_DELAY: Duration = Duration::from_secs(3600);

/// An object file in the trash.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct TrashId {
    /// The commit that removed it.
    pub version: Version,
    /// The path that the file had.
    pub path: RepoPath,
}

/// Keys of the store whose bytes are to be deleted, unless somebody names them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Deletions {
    /// The repository that the keys are of.
    pub repo: RepoId,
    /// Files to take out of the trash for good; their keys get tombstones.
    pub expired: Vec<TrashId>,
    /// Keys that were found in the store without an owner.
    pub leftovers: Vec<String>,
}

/// What maintenance made of a repository: these object files instead of those.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Repacking {
    /// The repository that was repacked.
    pub repo: RepoId,
    /// The object files that maintenance made.
    pub add: Vec<FileAdd>,
    /// What that stands for, and is not needed any more. One that is not in the catalog is skipped.
    pub remove: Vec<RepoPath>,
    /// All that this was concluded from: refused unless these are in the catalog, with these bytes.
    pub relied: Vec<Relied>,
    /// As in [`Command::Publish`], read before the first new file was stored.
    pub tombstones_as_of: Version,
    /// Objects are lost with this, for want of a ref that reaches them: it holds only while
    /// [`super::Repo::refs_version`] is not beyond this. `None` when none is lost.
    pub unless_refs_moved_since: Option<Version>,
}

/// A change, and object files of other repositories.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Borrowing {
    /// What else to commit. All or nothing, with the loans.
    pub change: RepoChange,
    /// As for [`Command::Publish`]; `None` when nothing was stored.
    pub tombstones_as_of: Option<Version>,
    /// As for [`Command::MoveRefs`]; `None` when the change relies on no objects.
    pub unpruned: Option<Version>,
    /// What to borrow.
    pub loans: Vec<Loan>,
}

/// Object files that one repository lends another, which has them under the same paths: a key says
/// by its path which files may name it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Loan {
    /// The lender.
    pub from: RepoId,
    /// Which files. Refused unless these are in its catalog when this is applied, with these bytes.
    pub files: Vec<Relied>,
}

/// A file that is as it was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Relied {
    /// Path of the file, `objects/…`.
    pub path: RepoPath,
    /// Digest that the file must still have.
    pub digest: Digest,
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
            Self::Publish { .. } => "publish",
            Self::RestoreRepo { .. } => "restore_repo",
            Self::RestoreFiles { .. } => "restore_files",
            Self::MarkDeleted(_) => "condemn",
            Self::RecordDeletion { .. } => "bury",
            Self::ExpireRepo { .. } => "condemn_repo",
            Self::PurgeRepo { .. } => "purge_repo",
            Self::FoundCluster { .. } => "found_cluster",
            Self::Invite { .. } => "invite",
            Self::InviteClient { .. } => "invite_client",
            Self::Admit { .. } => "admit",
            Self::Relocate { .. } => "relocate",
            Self::RemoveMember { .. } => "dismiss",
            Self::MoveRefs { .. } => "move_refs",
            Self::SettleStore(_) => "settle_store",
            Self::Repack(_) => "repack",
            Self::SetLimit { .. } => "set_limit",
            Self::Fork { .. } => "fork",
            Self::Import(_) => "import",
            Self::Touch { .. } => "touch",
            Self::ClaimStore(_) => "claim_store",
            Self::Borrow(_) => "borrow",
            Self::Name(change) => change.step.kind(),
            Self::SetSettings { .. } => "set_settings",
            Self::Nest(nesting) => nesting.step.kind(),
            Self::Hooks(change) => change.kind(),
            Self::Access(change) => change.kind(),
        }
    }
}
