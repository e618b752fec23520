//! `gitmoor repo list`.

use super::{Failure, Reply, Request, ask, describe_format, output, unexpected};
use crate::config::Place;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::io;

/// `gitmoor repo list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A line of `gitmoor repo list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoSummary {
    /// Its path in the namespace.
    pub name: String,
    pub id: String,
    /// `sha1` or `sha256`; `None` before git initialised it.
    pub object_format: Option<String>,
    /// `files` or `reftable`.
    pub ref_storage: Option<String>,
}

/// Asks for all, in order of their names.
pub(super) fn run(place: &Place, args: &ListArgs) -> Result<(), Failure> {
    match ask(place, &Request::RepoList)? {
        Reply::Repos(repos) if args.json => Ok(output::json(&repos)?),
        Reply::Repos(repos) => Ok(print_list(&repos)?),
        other => Err(unexpected(place, &other)),
    }
}

fn print_list(repos: &[RepoSummary]) -> io::Result<()> {
    let width = repos.iter().map(|repo| repo.name.len()).max().unwrap_or(0);
    for repo in repos {
        let format = describe_format(repo.object_format.as_deref(), repo.ref_storage.as_deref());
        output::line(format_args!("{:width$}  {format}", repo.name))?;
    }
    Ok(())
}
