//! `gitmoor repo info`.

use super::config::print_settings;
use super::{Failure, Reply, Request, ask, describe_format, limit, output, unexpected};
use crate::command::audit::LastPush;
use crate::config::{ByteSize, Place, RepoName};
use clap::Args;
use gitmoor_model::Limit;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;

/// `gitmoor repo info`.
#[derive(Args, Debug)]
pub struct InfoArgs {
    /// What is asked.
    #[command(flatten)]
    pub request: InfoRequest,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which repository is meant.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InfoRequest {
    /// Such as team/app.git
    pub name: RepoName,
}

/// What `gitmoor repo info` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoInfo {
    /// Its path in the namespace.
    pub name: String,
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

pub(super) fn run(place: &Place, args: InfoArgs) -> Result<(), Failure> {
    match ask(place, &Request::RepoInfo(args.request))? {
        Reply::Repo(info) if args.json => Ok(output::json(&info)?),
        Reply::Repo(info) => Ok(print_info(&info)?),
        other => Err(unexpected(place, &other)),
    }
}

fn print_info(info: &RepoInfo) -> io::Result<()> {
    let format = describe_format(info.object_format.as_deref(), info.ref_storage.as_deref());
    let objects = format!(
        "{} files ({} packs), {}",
        info.object_files,
        info.packs,
        ByteSize(info.object_bytes)
    );
    let parent = info.forked_from.clone().map(|parent| ("fork of", parent));
    let mut fields = vec![
        ("name", info.name.clone()),
        ("id", info.id.clone()),
        ("format", format),
    ];
    fields.extend(parent);
    fields.extend([
        ("refs", info.refs.to_string()),
        ("objects", objects),
        ("pending", format!("{} files", info.pending_files)),
        ("last push", last_push(info)),
    ]);
    output::fields(&fields)?;
    print_settings(&info.settings)?;
    limit::print_all(&info.limits)
}

fn last_push(info: &RepoInfo) -> String {
    match &info.last_push {
        Some(push) => format!("{} by {}", output::date(push.time), push.who),
        None => "none on record".to_owned(),
    }
}
