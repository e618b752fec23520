//! What may be asked of a daemon, on its admin socket. What a request carries stands with the command that asks it.

use super::Reply;
use super::access::AccessRequest;
use super::audit::AuditQuery;
use super::cluster::ClusterRequest;
use super::documented::documented;
use super::fsck::FsckRequest;
use super::gc::{GcRequest, MaintainRequest};
use super::hooks::HooksRequest;
use super::import::{ImportAbandonRequest, ImportRequest};
use super::repo::config::ConfigRequest;
use super::repo::create::CreateRequest;
use super::repo::delete::DeleteRequest;
use super::repo::fork::ForkRequest;
use super::repo::info::InfoRequest;
use super::repo::limit::LimitRequest;
use super::repo::rename::RenameRequest;
use super::repo::restore::{RestoreObjectsRequest, RestoreRequest};
use super::umount::UmountRequest;
use crate::admin::Asked;
use serde::{Deserialize, Serialize};
use std::time::Duration;

documented! {
    /// What may be asked. The words are kebab-case JSON, tagged.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
    pub enum Request {
        /// Says what the daemon does. Answered with `status`.
        Status,
        /// Publishes what is pending, unmounts, and ends the daemon. Answered with `done` or `kept` when nothing is
        /// mounted any more, or with `detached` when files are still open in a mount that was unmounted lazily.
        Umount(UmountRequest),
        /// Lists all repositories. Answered with `repos`.
        RepoList,
        /// Creates an empty bare repository, and the directories above it. Answered with `created`.
        RepoCreate(CreateRequest),
        /// Shows a repository. Answered with `repo`.
        RepoInfo(InfoRequest),
        /// Makes a repository with everything of another, without a copy of its bytes. With `copy` the store then
        /// copies the bytes, and the answer comes after lines of `progress`. Answered with `created`.
        RepoFork(ForkRequest),
        /// Renames a repository, and creates the directories above the new name. Answered with `done`.
        RepoRename(RenameRequest),
        /// Moves a repository to the trash. Answered with `done`.
        RepoDelete(DeleteRequest),
        /// Lists deleted repositories, and those that have deleted objects. Answered with `trash`.
        RepoTrash,
        /// Takes a repository out of the trash. Answered with `restored`.
        RepoRestore(RestoreRequest),
        /// Gives a repository its deleted objects back. Answered with `restored`.
        RepoRestoreObjects(RestoreObjectsRequest),
        /// Checks a repository: its catalog against the store, and every byte against its digest. Answered with
        /// `checked`.
        Fsck(FsckRequest),
        /// Removes what was in the trash for long enough, and what nobody owns, from the store. Answered with
        /// `collected`.
        Gc(GcRequest),
        /// Makes a backup. Answered with `backups`, which has this backup alone.
        Backup,
        /// Lists the backups. Answered with `backups`.
        Backups,
        /// Makes the mount's state the owner of its store. Answered with `owner`.
        TakeOver,
        /// Asks about the cluster, or changes it. Answered with `cluster`, `token` or `done`.
        Cluster(ClusterRequest),
        /// Changes a setting of a repository, if there is a `change`. Answered with `settings`.
        RepoConfig(ConfigRequest),
        /// Changes a limit of a repository, if there is a `change`. Answered with `limits`.
        RepoLimit(LimitRequest),
        /// Shows who changed what. Answered with `audit`; `next` says where the next page begins.
        Audit(AuditQuery),
        /// Tries the object store out. Answered with `probed`.
        Probe,
        /// Reads what the daemon counts. Answered with `counters`.
        Counters,
        /// Repacks a repository. Answered with lines of `progress`, then with `repacked`. The work ends when the
        /// connection is closed.
        Maintain(MaintainRequest),
        /// Brings a repository in from elsewhere, or goes on with that. Answered with lines of `progress`, then with
        /// `imported`. The work ends when the connection is closed.
        Import(ImportRequest),
        /// Gives an import up. Answered with `done`.
        ImportAbandon(ImportAbandonRequest),
        /// Shows how far imports are. Answered with `imports`.
        Imports,
        /// Asks about hooks, or rolls a hooks directory out. Answered with `hooks`.
        Hooks(HooksRequest),
        /// Asks about users of the doors and what they may, or changes that. Answered with `users`, `tokens`,
        /// `new-token`, `grants` or `done`.
        Access(AccessRequest),
        /// Measures how quick the object store is. Answered with `timed-store`.
        TimeStore,
    }
}

impl Request {
    /// Whether it changes what is replicated or stored: a read-only mount refuses it. The cluster is
    /// not the mount's, and a dry gc or a check without a repair changes nothing.
    pub(crate) fn changes(&self) -> bool {
        match self {
            Self::Status
            | Self::Counters
            | Self::Umount(_)
            | Self::RepoList
            | Self::RepoInfo(_)
            | Self::RepoTrash
            | Self::Backups
            | Self::Cluster(_)
            | Self::Audit(_)
            | Self::Imports
            | Self::Hooks(HooksRequest::Status)
            | Self::TimeStore
            | Self::Probe => false,
            Self::RepoCreate(_)
            | Self::RepoFork(_)
            | Self::RepoRename(_)
            | Self::RepoDelete(_)
            | Self::RepoRestore(_)
            | Self::RepoRestoreObjects(_)
            | Self::Import(_)
            | Self::ImportAbandon(_)
            | Self::TakeOver
            | Self::Hooks(HooksRequest::Promote { .. })
            | Self::Backup => true,
            Self::Fsck(FsckRequest { repair, .. }) => *repair,
            Self::Gc(GcRequest { dry_run, .. })
            | Self::Maintain(MaintainRequest { dry_run, .. }) => !dry_run,
            Self::RepoConfig(ConfigRequest { change, .. }) => change.is_some(),
            Self::RepoLimit(LimitRequest { change, .. }) => change.is_some(),
            Self::Access(request) => request.changes(),
        }
    }
}

/// Requests that only look answer within this; the others wait for S3 and raft.
const QUICK: Duration = Duration::from_secs(10);
/// Publishing and repository changes are bounded by the daemon itself, whose
/// longest wait is the publish timeout; this only ends a wait for a stuck daemon.
const SLOW: Duration = Duration::from_secs(30 * 60);
/// These read, delete or list whole repositories in the store.
const LONG: Duration = Duration::from_secs(24 * 3600);

impl Asked for Request {
    type Reply = Reply;

    fn timeout(&self) -> Duration {
        match self {
            Self::Status | Self::Counters => QUICK,
            Self::Umount(_)
            | Self::RepoList
            | Self::Backup
            | Self::TakeOver
            | Self::Backups
            | Self::RepoCreate(_)
            | Self::RepoInfo(_)
            | Self::RepoFork(ForkRequest { copy: false, .. })
            | Self::RepoRename(_)
            | Self::RepoDelete(_)
            | Self::RepoTrash
            | Self::RepoRestore(_)
            | Self::RepoRestoreObjects(_)
            | Self::Cluster(_)
            | Self::Probe
            | Self::TimeStore
            | Self::Imports
            | Self::ImportAbandon(_)
            | Self::RepoConfig(_)
            | Self::RepoLimit(_)
            | Self::Hooks(_)
            | Self::Audit(_)
            | Self::Access(_) => SLOW,
            Self::Gc(_)
            | Self::Fsck(_)
            | Self::Maintain(_)
            | Self::RepoFork(ForkRequest { copy: true, .. })
            | Self::Import(_) => LONG,
        }
    }
}
