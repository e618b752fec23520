//! `gitmoor repo create`.

use super::{Failure, Reply, Request, ask, output, unexpected};
use crate::config::{Place, RepoName};
use clap::{Args, ValueEnum};
use gitmoor_jobs::fork::Copied;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `gitmoor repo create`.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// What is asked.
    #[command(flatten)]
    pub request: CreateRequest,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What is created: an empty bare repository, and the directories above it.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateRequest {
    /// Such as team/app.git
    #[arg(value_parser = RepoName::of_new)]
    pub name: RepoName,
    /// Which hash names the objects
    #[arg(long, value_name = "HASH", default_value = "sha1")]
    pub object_format: ObjectFormat,
    /// How refs are stored
    #[arg(long, value_name = "FORMAT", default_value = "files")]
    pub ref_format: RefFormat,
    /// What HEAD points at
    #[arg(long, value_name = "BRANCH", default_value = "main")]
    pub default_branch: String,
}

/// `extensions.objectFormat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectFormat {
    /// 160 bits, git's default
    Sha1,
    /// 256 bits
    Sha256,
}

impl ObjectFormat {
    /// As git has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }
}

/// `extensions.refStorage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefFormat {
    /// Loose files and packed-refs
    Files,
    /// Reftables
    Reftable,
}

impl RefFormat {
    /// As git has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Reftable => "reftable",
        }
    }
}

/// What `gitmoor repo create` and `fork` print.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// Its path in the namespace.
    pub name: String,
    /// The repository's permanent name.
    pub id: String,
    /// Where git finds it on this machine.
    pub path: PathBuf,
    /// What the store has copied for it, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<Copied>,
}

/// Asks for it, and prints where it is.
pub(super) fn run(place: &Place, args: CreateArgs) -> Result<(), Failure> {
    let reply = ask(place, &Request::RepoCreate(args.request))?;
    print(place, reply, args.json)
}

/// Where git finds the new repository.
pub(super) fn print(place: &Place, reply: Reply, json: bool) -> Result<(), Failure> {
    match reply {
        Reply::Created(created) if json => Ok(output::json(&created)?),
        Reply::Created(Created { path, .. }) => Ok(output::line(path.display())?),
        other => Err(unexpected(place, &other)),
    }
}
