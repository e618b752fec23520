//! What is said on the admin socket. The words are kebab-case JSON, tagged, so that
//! a script can speak it with nothing but a socket:
//!
//! ```text
//! → {"request":"umount","mountpoint":"/mnt/git","lazy":false}
//! ← {"ok":{"reply":"done"}}
//! ← {"error":{"kind":"failed","message":"/mnt/git is busy …"}}
//! ```

pub use super::audit::{AuditLine, AuditPage, AuditQuery, LastPush, Who};
pub use super::report::{
    Cache, ClusterStatus, Counters, Created, MemberLine, MemberRole, Metric, MountStatus, Pending,
    Probe, RepoInfo, RepoSummary, Restored, Staging, State, Status,
};
use crate::config::RepoName;
pub use gitmoor_fs::Traffic;
use gitmoor_fs::backup::BackupInfo;
use gitmoor_fs::import::{ImportStatus, Imported, Source, Verify};
use gitmoor_fs::{Checked, Collected, Progress, Repacked, StoreOwner, TrashedRepo};
use gitmoor_model::{Limit, RepoPattern};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Longest line either side accepts, bytes. A listing of a hundred thousand
/// repositories fits; a runaway peer does not.
pub const LINE_LIMIT: u64 = 64 << 20;

/// What may be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Answered with [`Reply::Status`].
    Status,
    /// Publish, unmount and end. Answered with [`Reply::Done`] or [`Reply::Kept`] when it is unmounted,
    /// or [`Reply::Detached`] when files are still open in a lazily unmounted one.
    Umount {
        /// As the kernel names it.
        mountpoint: PathBuf,
        /// Detach even while files are open.
        lazy: bool,
    },
    /// Answered with [`Reply::Repos`].
    RepoList,
    /// An empty bare repository; answered with [`Reply::Created`].
    RepoCreate {
        /// Its name; directories above it are created.
        name: RepoName,
        /// `sha1` or `sha256`.
        object_format: String,
        /// `files` or `reftable`.
        ref_format: String,
        /// What HEAD points at.
        default_branch: String,
    },
    /// Answered with [`Reply::Repo`].
    RepoInfo {
        /// Which.
        name: RepoName,
    },
    /// A repository that begins with everything of another, without a copy of its bytes; answered with
    /// [`Reply::Created`].
    RepoFork {
        /// Of which.
        name: RepoName,
        /// Its name; directories above it are created.
        to: RepoName,
        /// The store then copies the bytes, so that it is independent; of a fork that is there, what is left.
        #[serde(default)]
        copy: bool,
    },
    /// Answered with [`Reply::Done`].
    RepoRename {
        /// From here …
        from: RepoName,
        /// … to here; directories above it are created.
        to: RepoName,
    },
    /// Answered with [`Reply::Done`].
    RepoDelete {
        /// Which.
        name: RepoName,
    },
    /// Answered with [`Reply::Trash`].
    RepoTrash,
    /// Answered with [`Reply::Restored`].
    RepoRestore {
        /// The id of a repository, or a name that it had.
        repo: String,
        /// Its new name; without it the one it had.
        to: Option<RepoName>,
    },
    /// Gives deleted objects back; answered with [`Reply::Restored`].
    RepoRestoreObjects {
        /// Of which repository.
        name: RepoName,
    },
    /// Answered with [`Reply::Checked`].
    Fsck {
        /// Which repository.
        name: RepoName,
        /// Repair what can be.
        repair: bool,
        /// Also the cache, and loose objects against their names.
        deep: bool,
    },
    /// Answered with [`Reply::Collected`].
    Gc {
        /// In this repository alone.
        name: Option<RepoName>,
        /// Change nothing.
        dry_run: bool,
    },
    /// Makes a backup; answered with [`Reply::Backups`], which has it alone.
    Backup,
    /// Answered with [`Reply::Backups`].
    Backups,
    /// Makes the mount's state the owner of its store; answered with [`Reply::Owner`].
    TakeOver,
    /// About the cluster; answered with [`Reply::Cluster`], [`Reply::Token`] or [`Reply::Done`].
    Cluster(ClusterRequest),
    /// Changes the settings, if asked to, and answers [`Reply::Settings`].
    RepoConfig {
        /// Of which repository.
        name: RepoName,
        /// What to change.
        change: Option<SettingChange>,
    },
    /// Changes a limit, if asked to, and answers [`Reply::Limits`].
    RepoLimit {
        /// Of which repository.
        name: RepoName,
        /// What to change.
        change: Option<LimitChange>,
    },
    /// Who changed what; answered with [`Reply::Audit`].
    Audit(AuditQuery),
    /// Tries the object store out; answered with [`Reply::Probed`].
    Probe,
    /// What the daemon counts; answered with [`Reply::Counters`].
    Counters,
    /// Repacks a repository; answered with [`Answer::Progress`] any number of times, then with
    /// [`Reply::Repacked`]. Ends when whoever asked closes the connection.
    Maintain {
        /// Which.
        name: RepoName,
        /// All into one pack.
        full: bool,
        /// Blobs into a pack of their own.
        split_blobs: bool,
        /// Only say what there is.
        dry_run: bool,
    },
    /// Brings a repository in from elsewhere, or goes on with that; answered with [`Answer::Progress`] any number
    /// of times, then with [`Reply::Imported`]. Ends when whoever asked closes the connection.
    Import {
        /// The name that it gets; directories above it are created.
        name: RepoName,
        /// Where it comes from.
        source: Source,
        /// What is read back.
        verify: Verify,
        /// Served from the beginning.
        live: bool,
    },
    /// Gives an import up; answered with [`Reply::Done`].
    ImportAbandon {
        /// The name that it would have got.
        name: RepoName,
    },
    /// Answered with [`Reply::Imports`].
    Imports,
}

impl Request {
    /// Whether it changes what is replicated or stored: a read-only mount refuses it. The cluster is
    /// not the mount's, and a dry gc or a check without a repair changes nothing.
    pub fn changes(&self) -> bool {
        match self {
            Self::Status
            | Self::Counters
            | Self::Umount { .. }
            | Self::RepoList
            | Self::RepoInfo { .. }
            | Self::RepoTrash
            | Self::Backups
            | Self::Cluster(_)
            | Self::Audit(_)
            | Self::Imports
            | Self::Probe => false,
            Self::RepoCreate { .. }
            | Self::RepoFork { .. }
            | Self::RepoRename { .. }
            | Self::RepoDelete { .. }
            | Self::RepoRestore { .. }
            | Self::RepoRestoreObjects { .. }
            | Self::Import { .. }
            | Self::ImportAbandon { .. }
            | Self::TakeOver
            | Self::Backup => true,
            Self::Fsck { repair, .. } => *repair,
            Self::Gc { dry_run, .. } | Self::Maintain { dry_run, .. } => !dry_run,
            Self::RepoConfig { change, .. } => change.is_some(),
            Self::RepoLimit { change, .. } => change.is_some(),
        }
    }
}

/// What may be asked about the cluster, of any of its nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ClusterRequest {
    /// The members and how they are.
    Status,
    /// A token with which one machine can join.
    Token {
        /// Good for so long.
        seconds: u64,
        /// For a client.
        client: bool,
        /// Of these repositories only, by patterns.
        #[serde(default)]
        repos: Vec<RepoPattern>,
        /// That changes nothing.
        #[serde(default)]
        read_only: bool,
    },
    /// A node that was admitted gets everything.
    AddLearner {
        /// Which.
        node: u64,
    },
    /// A learner gets a vote.
    Promote {
        /// Which.
        node: u64,
    },
    /// A node is no member any more.
    Remove {
        /// Which.
        node: u64,
    },
    /// A voter leads.
    TransferLeader {
        /// Which.
        node: u64,
    },
}

/// A change of one replicated setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingChange {
    /// A key that [`gitmoor_model::setting`] allows, in any case.
    pub key: String,
    /// `None` removes it.
    pub value: Option<String>,
}

/// A change of one limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitChange {
    /// Which.
    pub limit: Limit,
    /// In its own unit: records, bytes, refs, seconds. `None` removes it.
    pub value: Option<u64>,
}

/// One line of answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It is done.
    Ok(Reply),
    /// It is not, and nothing was changed unless the message says so.
    Error(Rejection),
    /// It goes on; more lines follow.
    Progress(Progress),
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "reply", content = "value", rename_all = "kebab-case")]
pub enum Reply {
    /// Nothing more to say.
    Done,
    /// Unmounted, offline or read-only: finished files stay on this machine until a mount that is neither.
    Kept {
        /// How many.
        files: u64,
    },
    /// Out of the tree; the daemon ends when the last file is closed.
    Detached,
    /// Of the daemon.
    Status(Box<Status>),
    /// All repositories, in order of their names.
    Repos(Vec<RepoSummary>),
    /// The new repository.
    Created(Created),
    /// One repository.
    Repo(Box<RepoInfo>),
    /// What has something in the trash.
    Trash(Vec<TrashedRepo>),
    /// What came back.
    Restored(Restored),
    /// What fsck found.
    Checked(Box<Checked>),
    /// What gc removed.
    Collected(Collected),
    /// The backups, the newest last.
    Backups(Vec<BackupInfo>),
    /// Who owns the object store.
    Owner(Box<StoreOwner>),
    /// The members of the cluster.
    Cluster(Box<ClusterStatus>),
    /// For `gitmoor cluster join`.
    Token(String),
    /// The replicated settings of a repository, after the change.
    Settings(BTreeMap<String, String>),
    /// The limits of a repository, after the change.
    Limits(BTreeMap<Limit, u64>),
    /// A piece of an audit trail.
    Audit(Box<AuditPage>),
    /// How the object store is.
    Probed(Probe),
    /// Everything that is counted, for `gitmoor top`.
    Counters(Box<Counters>),
    /// What maintenance did.
    Repacked(Repacked),
    /// What an import did.
    Imported(Imported),
    /// How far imports are, the oldest first.
    Imports(Vec<ImportStatus>),
}

impl From<Result<Reply, Rejection>> for Answer {
    fn from(result: Result<Reply, Rejection>) -> Self {
        match result {
            Ok(reply) => Self::Ok(reply),
            Err(rejection) => Self::Error(rejection),
        }
    }
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Whose fault it is.
    pub kind: RejectionKind,
    /// A sentence.
    pub message: String,
}

/// Becomes the exit code of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectionKind {
    /// Ask differently: exit code 2.
    Usage,
    /// It did not work: exit code 1.
    Failed,
}

impl Rejection {
    /// The request itself is wrong.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self {
            kind: RejectionKind::Usage,
            message: message.to_string(),
        }
    }

    /// It did not work.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self {
            kind: RejectionKind::Failed,
            message: message.to_string(),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}

impl std::error::Error for Rejection {}
