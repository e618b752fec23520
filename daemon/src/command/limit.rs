//! `gitmoor repo limit`.

use super::{ask, output, unexpected};
use crate::Failure;
use crate::admin::protocol::LimitChange;
use crate::admin::{Reply, Request};
use crate::cli::{LimitArgs, Place};
use crate::repo_limit::{self, LimitName};
use gitmoor_model::Limit;
use std::collections::BTreeMap;
use std::io;

/// Shows limits, or changes one.
pub(super) fn run(place: &Place, args: LimitArgs) -> Result<(), Failure> {
    let limit = args.limit.map(|LimitName(limit)| limit);
    let change = change(limit, args.value.as_deref(), args.unset)?;
    let is_change = change.is_some();
    let name = args.name.clone();
    let limits = match ask(place, &Request::RepoLimit { name, change })? {
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
