//! What a daemon answers. The types stand with the commands that print them.

use super::access::GrantLine;
use super::audit::AuditPage;
use super::bench::TimedStore;
use super::cluster::ClusterStatus;
use super::doctor::Probe;
use super::documented::documented;
use super::repo::create::Created;
use super::repo::info::RepoInfo;
use super::repo::list::RepoSummary;
use super::repo::restore::Restored;
use super::status::Status;
use super::token::{NewToken, TokenLine};
use super::top::Counters;
use super::user::UserLine;
use gitmoor_fs::{HooksStatus, StoreOwner};
use gitmoor_jobs::backup::BackupInfo;
use gitmoor_jobs::fsck::Checked;
use gitmoor_jobs::gc::Collected;
use gitmoor_jobs::import::{ImportStatus, Imported};
use gitmoor_jobs::repack::Repacked;
use gitmoor_jobs::trash::TrashedRepo;
use gitmoor_model::Limit;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

documented! {
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
        /// The hooks of this machine and of the others.
        Hooks(Box<HooksStatus>),
        /// The users of the doors, by name.
        Users(Vec<UserLine>),
        /// The tokens, without their secrets.
        Tokens(Vec<TokenLine>),
        /// A token that was just made, with its secret.
        NewToken(NewToken),
        /// What is granted to whom.
        Grants(Vec<GrantLine>),
        /// How quick the object store is.
        TimedStore(TimedStore),
    }
}
