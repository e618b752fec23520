//! What a daemon tells of itself, its store, its cluster and its repositories. Most of it is what `--json` prints.

use super::audit::LastPush;
use gitmoor_fs::{Copied, Staged, StoreOwner, Traffic};
use gitmoor_model::Limit;
use gitmoor_store::object_store::Probed;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// What `gitmoor status --json` prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Of the daemon.
    pub pid: u32,
    /// Of the program.
    pub version: String,
    /// What it is doing.
    pub state: State,
    /// Seconds since it began to serve.
    pub uptime_seconds: u64,
    /// The data directory.
    pub data: PathBuf,
    /// The object store, without secrets.
    pub store: String,
    /// The store is not asked.
    pub offline: bool,
    /// The last requests that were therefore refused.
    pub refused: Vec<String>,
    /// Nothing can be changed.
    pub read_only: bool,
    /// Who owns the store, when that was last looked at; none of a mount that does not write there.
    pub owner: Option<StoreOwner>,
    /// What is mounted where.
    pub mounts: Vec<MountStatus>,
    /// The replicator: role, term, index, ….
    pub replicator: gitmoor_replicator::Status,
    /// The node that a client of a cluster asks, host:port.
    pub asks: Option<String>,
    /// In a cluster: how long ago a majority confirmed what is read here; none before the first
    /// read.
    pub confirmed_seconds_ago: Option<f64>,
    /// What is not in the store yet.
    pub pending: Pending,
    /// That, and files in the making.
    pub staging: Staging,
    /// The block cache.
    pub cache: Cache,
    /// Operations that wait right now: who waits for what since when.
    pub waits: Vec<String>,
}

/// What a daemon counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counters {
    /// How it is now.
    pub status: Status,
    /// By repository, since the daemon started.
    pub repositories: Vec<Traffic>,
    /// Its metrics: of a histogram the count and the sum.
    pub metrics: Vec<Metric>,
}

/// One sample of a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// What `gitmoor cluster status --json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// The cluster's id.
    pub cluster: String,
    /// Who was asked: `node 3`, or a client.
    pub this: String,
    /// Who leads, as far as it knows.
    pub leader: Option<u64>,
    /// Raft's term there.
    pub term: u64,
    /// Index of the last entry that it knows to be committed.
    pub commit: u64,
    /// The members, by number.
    pub members: Vec<MemberLine>,
    /// The clients, by number, as they call themselves.
    pub clients: BTreeMap<u64, String>,
    /// Of those that may not see or change everything, what they may.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<u64, String>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberLine {
    /// Its number.
    pub node: u64,
    /// Where the others reach it.
    pub address: String,
    /// Its part.
    pub role: MemberRole,
    /// Index of the last entry applied there; `None` when it does not answer.
    pub applied: Option<u64>,
    /// Entries that it lacks.
    pub lag: Option<u64>,
    /// When its certificate expires, seconds since 1970.
    pub certificate_expires: Option<u64>,
    /// Of its gitmoor.
    pub version: Option<String>,
    /// Why it does not answer.
    pub error: Option<String>,
}

/// The part a member plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberRole {
    /// Leads.
    Leader,
    /// Has a vote.
    Voter,
    /// Gets everything, and has none.
    Learner,
    /// Has a certificate, and gets nothing yet.
    Admitted,
}

impl fmt::Display for MemberRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Voter => "voter",
            Self::Learner => "learner",
            Self::Admitted => "admitted",
        })
    }
}

/// What `gitmoor doctor` hears of the object store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Which, without secrets.
    pub store: String,
    /// Why it was not tried out.
    pub note: String,
    /// What it can do, if it was.
    pub probed: Option<Probed>,
}

/// What the daemon is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Answering.
    Serving,
    /// Publishing and unmounting.
    Leaving,
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountStatus {
    /// Where.
    pub mountpoint: PathBuf,
    /// The one repository mounted there; the whole namespace without it.
    pub repo: Option<String>,
}

/// What is finished here but not in the store yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Object files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The last failure to publish, if it has not succeeded since.
    pub failure: Option<String>,
}

/// Object files that only this machine has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staging {
    /// How many and how large.
    #[serde(flatten)]
    pub staged: Staged,
    /// Bytes beyond which new files wait; `None` is no limit.
    pub limit: Option<u64>,
}

/// The block cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// Bytes in it.
    pub bytes: u64,
    /// Its limit.
    pub limit: u64,
}

/// A line of `gitmoor repo list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoSummary {
    /// Its path in the namespace.
    pub name: String,
    /// Its permanent name.
    pub id: String,
    /// `sha1` or `sha256`; `None` before git initialised it.
    pub object_format: Option<String>,
    /// `files` or `reftable`.
    pub ref_storage: Option<String>,
}

/// What `gitmoor repo create` and `fork` print.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// Its path in the namespace.
    pub name: String,
    /// Its permanent name.
    pub id: String,
    /// Where git finds it on this machine.
    pub path: PathBuf,
    /// What the store has copied for it, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<Copied>,
}

/// What `gitmoor repo restore` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Its path in the namespace.
    pub name: String,
    /// Its permanent name.
    pub id: String,
    /// What was given back one by one.
    #[serde(flatten)]
    pub pieces: gitmoor_fs::Restored,
}

/// What `gitmoor repo info` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoInfo {
    /// Its path in the namespace.
    pub name: String,
    /// Its permanent name.
    pub id: String,
    /// `sha1` or `sha256`; `None` before git initialised it.
    pub object_format: Option<String>,
    /// `files` or `reftable`.
    pub ref_storage: Option<String>,
    /// The name of the repository that it is a fork of, or the id of one that was deleted.
    pub forked_from: Option<String>,
    /// Loose refs and lines of packed-refs.
    pub refs: u64,
    /// Files in the catalog.
    pub object_files: u64,
    /// Their bytes.
    pub object_bytes: u64,
    /// How many of them are packs.
    pub packs: u64,
    /// Finished files that are not in the store yet.
    pub pending_files: u64,
    /// Replicated settings.
    pub settings: BTreeMap<String, String>,
    /// Limits that were set.
    pub limits: BTreeMap<Limit, u64>,
    /// When refs last moved, and by whom, while that is on record.
    pub last_push: Option<LastPush>,
}
