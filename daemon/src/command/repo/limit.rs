//! `gitmoor repo limit`.

use super::{Failure, Reply, Request, ask, output, unexpected};
use crate::config::{Place, RepoName};
use crate::repo_limit::{self, LimitName};
use clap::Args;
use gitmoor_model::Limit;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;

/// `gitmoor repo limit`.
#[derive(Args, Debug)]
pub struct LimitArgs {
    /// Such as team/app.git
    pub name: RepoName,
    /// bytes of object files, or refs, beyond which pushes are refused; audit-records: how many its
    /// audit trail keeps; audit-keep: for how long. All that are set without it
    pub limit: Option<LimitName>,
    /// Its new value, such as 10GiB, 10000 or 90d; shows the current one without it
    #[arg(requires = "limit")]
    pub value: Option<String>,
    /// Remove the limit
    #[arg(long, requires = "limit", conflicts_with = "value")]
    pub unset: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Of which repository what is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitRequest {
    pub name: RepoName,
    pub change: Option<LimitChange>,
}

/// A change of one limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitChange {
    pub limit: Limit,
    /// In its own unit: records, bytes, refs, seconds. `None` removes it.
    pub value: Option<u64>,
}

/// Shows limits, or changes one.
pub(super) fn run(place: &Place, args: LimitArgs) -> Result<(), Failure> {
    let limit = args.limit.map(|LimitName(limit)| limit);
    let change = change(limit, args.value.as_deref(), args.unset)?;
    let is_change = change.is_some();
    let name = args.name.clone();
    let limits = match ask(place, &Request::RepoLimit(LimitRequest { name, change }))? {
        Reply::Limits(limits) => limits,
        other => return Err(unexpected(place, &other)),
    };
    match limit {
        _ if args.json => Ok(output::json(&limits)?),
        _ if is_change => Ok(()),
        None => Ok(print_all(&limits)?),
        Some(limit) => match limits.get(&limit) {
            Some(value) => Ok(output::line(repo_limit::show(limit, *value))?),
            None => Err(Failure::NotSet {
                name: args.name,
                key: repo_limit::name(limit),
            }),
        },
    }
}

fn change(
    limit: Option<Limit>,
    value: Option<&str>,
    unset: bool,
) -> Result<Option<LimitChange>, Failure> {
    let Some(limit) = limit.filter(|_| unset || value.is_some()) else {
        return Ok(None);
    };
    let value = value.map(|text| repo_limit::parse(limit, text)).transpose();
    let value =
        value.map_err(|why| Failure::Usage(format!("{}: {why}", repo_limit::name(limit))))?;
    Ok(Some(LimitChange { limit, value }))
}

/// As they could be typed.
pub(super) fn print_all(limits: &BTreeMap<Limit, u64>) -> io::Result<()> {
    for (limit, value) in limits {
        let (name, value) = (repo_limit::name(*limit), repo_limit::show(*limit, *value));
        output::line(format_args!("{name}={value}"))?;
    }
    Ok(())
}
