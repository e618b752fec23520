//! `gitmoor repo restore`.

use super::{Failure, Reply, Request, ask, output, unexpected};
use crate::config::{Place, RepoName};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::io;

/// `gitmoor repo restore`.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// The name it had, or its id (gitmoor repo trash shows both); of several
    /// that had the name, the one deleted last
    pub repo: String,
    /// Give it this name
    #[arg(long = "as", value_name = "NAME", conflicts_with = "objects")]
    pub to: Option<RepoName>,
    /// Give the deleted objects of a repository back that is there
    #[arg(long)]
    pub objects: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which repository comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// The id of a repository, or a name that it had.
    pub repo: String,
    /// Its new name; without it the one it had.
    pub to: Option<RepoName>,
}

/// Of which repository deleted objects come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreObjectsRequest {
    pub name: RepoName,
}

/// What `gitmoor repo restore` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Its path in the namespace.
    pub name: String,
    pub id: String,
    /// What was given back one by one.
    #[serde(flatten)]
    pub pieces: gitmoor_jobs::trash::Restored,
}

/// Takes something out of the trash.
pub(super) fn run(place: &Place, args: RestoreArgs) -> Result<(), Failure> {
    let request = if args.objects {
        let name = args.repo.parse().map_err(Failure::Usage)?;
        Request::RepoRestoreObjects(RestoreObjectsRequest { name })
    } else {
        let (repo, to) = (args.repo, args.to);
        Request::RepoRestore(RestoreRequest { repo, to })
    };
    match ask(place, &request)? {
        Reply::Restored(restored) if args.json => Ok(output::json(&restored)?),
        Reply::Restored(restored) => Ok(print_restored(&restored, args.objects)?),
        other => Err(unexpected(place, &other)),
    }
}

fn print_restored(restored: &Restored, objects: bool) -> io::Result<()> {
    let pieces = &restored.pieces;
    if !objects {
        output::line(format_args!("{} is back", restored.name))?;
    }
    if objects || pieces.files > 0 {
        output::line(format_args!("{} object files are back", pieces.files))?;
    }
    for name in &pieces.refs {
        output::line(format_args!("{name} is back"))?;
    }
    for lost in &pieces.lost {
        output::line(format_args!("not restored: {lost}"))?;
    }
    Ok(())
}
