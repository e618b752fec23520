//! `gitmoor status`.

use super::{Failure, Reply, Request, ask, output, unexpected};
use crate::config::{ByteSize, Place};
use clap::Args;
use gitmoor_fs::{Staged, StoreOwner};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// `gitmoor status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `gitmoor status --json` prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Process id of the daemon.
    pub pid: u32,
    /// Version of the program that runs.
    pub version: String,
    /// What it is doing.
    pub state: State,
    /// Seconds since it began to serve.
    pub uptime_seconds: u64,
    /// Path of the data directory.
    pub data: PathBuf,
    /// The object store, without secrets.
    pub store: String,
    /// The store is not asked.
    pub offline: bool,
    /// The last requests that were therefore refused.
    pub refused: Vec<String>,
    /// The last operations on the mount that cannot be done where they were asked for, and why.
    pub not_allowed: Vec<String>,
    /// Nothing can be changed.
    pub read_only: bool,
    /// Who owns the store, when that was last looked at; none of a mount that does not write there.
    pub owner: Option<StoreOwner>,
    /// What is mounted where.
    pub mounts: Vec<MountStatus>,
    /// Where git is served to other machines: `http 127.0.0.1:8080`, `https 0.0.0.0:443`.
    pub doors: Vec<String>,
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
    /// How full the block cache is.
    pub cache: Cache,
    /// Operations that wait right now: who waits for what since when.
    pub waits: Vec<String>,
}

/// What the daemon is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The daemon answers operations.
    Serving,
    /// The daemon publishes what is pending, and unmounts.
    Leaving,
}

/// A mount of this daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountStatus {
    /// Path of the mount point.
    pub mountpoint: PathBuf,
    /// The one repository mounted there; the whole namespace without it.
    pub repo: Option<String>,
}

/// What is finished here but not in the store yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// How many object files.
    pub files: u64,
    /// Bytes of these files.
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

/// How full the block cache is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// Bytes of cached blocks.
    pub bytes: u64,
    /// Limit of the cache in bytes.
    pub limit: u64,
}

/// Asks the daemon how it is.
pub(super) fn run(place: &Place, args: &StatusArgs) -> Result<(), Failure> {
    match ask(place, &Request::Status)? {
        Reply::Status(status) if args.json => Ok(output::json(&status)?),
        Reply::Status(status) => Ok(output::fields(&fields(&status))?),
        other => Err(unexpected(place, &other)),
    }
}

fn fields(status: &Status) -> Vec<(&'static str, String)> {
    let mut fields = vec![("daemon", daemon(status))];
    fields.extend(
        status
            .mounts
            .iter()
            .map(|mount| ("mounted", mounted(mount, status.read_only))),
    );
    fields.extend(status.doors.iter().map(|door| ("serves", door.clone())));
    fields.push(("data", status.data.display().to_string()));
    fields.push(("store", store(status)));
    fields.extend(status.owner.iter().map(|is| ("owner", owner(is))));
    fields.extend(status.refused.iter().map(|what| ("refused", what.clone())));
    let not_allowed = status.not_allowed.iter();
    fields.extend(not_allowed.map(|what| ("not allowed", what.clone())));
    fields.push(("replicator", replicator(&status.replicator)));
    fields.extend(status.asks.iter().map(|node| ("asks", node.clone())));
    let confirmed = status.confirmed_seconds_ago;
    fields.extend(confirmed.map(|ago| ("confirmed", format!("{ago:.1} s ago by the cluster"))));
    fields.push(("pending", pending(&status.pending)));
    fields.push(("staging", staging(&status.staging)));
    fields.push(("cache", cache(status)));
    fields.extend(status.waits.iter().map(|wait| ("waiting", wait.clone())));
    fields
}

fn daemon(status: &Status) -> String {
    let state = match status.state {
        State::Serving => "serving",
        State::Leaving => "leaving",
    };
    let uptime = Duration::from_secs(status.uptime_seconds);
    let uptime = humantime::format_duration(uptime);
    format!(
        "{state}, pid {}, version {}, for {uptime}",
        status.pid, status.version
    )
}

fn mounted(mount: &MountStatus, read_only: bool) -> String {
    let at = mount.mountpoint.display();
    let note = if read_only { ", read-only" } else { "" };
    match &mount.repo {
        Some(repo) => format!("{at} (only {repo}){note}"),
        None => format!("{at}{note}"),
    }
}

fn replicator(node: &gitmoor_replicator::Status) -> String {
    let role = node.role;
    let mut text = format!(
        "{role}, term {}, committed {}, applied {}",
        node.term, node.commit, node.applied
    );
    if node.pending > 0 {
        text.push_str(&format!(", {} proposals under way", node.pending));
    }
    text
}

fn pending(pending: &Pending) -> String {
    let mut text = match pending.files {
        0 => "nothing; everything finished is in the store".to_owned(),
        files => format!("{files} files, {}", ByteSize(pending.bytes)),
    };
    if let Some(failure) = &pending.failure {
        text.push_str("; the last attempt failed: ");
        text.push_str(failure);
    }
    text
}

fn store(status: &Status) -> String {
    let note = if status.offline {
        ", offline: it is not asked, and what this machine lacks is refused"
    } else {
        ""
    };
    format!("{}{note}", status.store)
}

fn owner(owner: &StoreOwner) -> String {
    match (&owner.problem, &owner.claim) {
        (Some(problem), _) => format!("nothing is stored or deleted: {problem}"),
        (None, Some(claim)) => format!("this state, claimed by {claim}"),
        (None, None) => "this state".to_owned(),
    }
}

fn staging(staging: &Staging) -> String {
    let limit = match staging.limit {
        Some(limit) => ByteSize(limit).to_string(),
        None => "unlimited".to_owned(),
    };
    format!("{} of {limit}", ByteSize(staging.staged.bytes))
}

fn cache(status: &Status) -> String {
    format!(
        "{} of {}",
        ByteSize(status.cache.bytes),
        ByteSize(status.cache.limit)
    )
}
