//! `gitmoor repo fork`.

use super::{Failure, Request, create};
use crate::command::progress::ask_watching;
use crate::config::{Place, RepoName};
use clap::Args;
use serde::{Deserialize, Serialize};

/// `gitmoor repo fork`.
#[derive(Args, Debug)]
pub struct ForkArgs {
    /// What is asked.
    #[command(flatten)]
    pub request: ForkRequest,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What is forked, and how.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForkRequest {
    /// The one that is forked
    pub name: RepoName,
    /// The name of the fork; directories above it are created
    #[arg(value_parser = RepoName::of_new)]
    pub to: RepoName,
    /// Have the store copy the bytes, so that it depends on nothing of the other; of a fork that
    /// is there already, what is left to copy
    #[arg(long)]
    #[serde(default)]
    pub copy: bool,
}

/// Asks for it, shows how far a copy is, and prints where the fork is.
pub(super) fn run(place: &Place, args: ForkArgs) -> Result<(), Failure> {
    let reply = ask_watching(place, &Request::RepoFork(args.request))?;
    create::print(place, reply, args.json)
}
