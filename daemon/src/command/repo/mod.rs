//! `gitmoor repo …`: asks the daemon about its repositories, or to change them. One file a command.

pub(crate) mod config;
pub mod create;
pub(crate) mod delete;
pub(crate) mod fork;
pub(crate) mod info;
pub(crate) mod limit;
pub(crate) mod list;
pub(crate) mod rename;
pub(crate) mod restore;
mod trash;

use super::{Failure, Reply, Request, ask, output, unexpected};
use crate::config::Place;
use clap::Subcommand;

/// `gitmoor repo …`.
#[derive(Debug, Subcommand)]
pub enum RepoCommand {
    /// List all repositories
    List(list::ListArgs),
    /// Create an empty bare repository, and the directories above it
    Create(create::CreateArgs),
    /// Show format, refs, objects and settings of a repository
    Info(info::InfoArgs),
    /// Make a repository with everything of another, at once and without a copy of its bytes
    Fork(fork::ForkArgs),
    /// Rename a repository, creating the directories above the new name
    Rename(rename::RenameRequest),
    /// Delete a repository
    Delete(delete::DeleteArgs),
    /// List deleted repositories, and those that have deleted objects
    Trash(trash::TrashArgs),
    /// Take a repository, or the deleted objects of one, out of the trash
    Restore(restore::RestoreArgs),
    /// Show or change the settings that every machine applies to a repository
    Config(config::ConfigArgs),
    /// Show or change what a repository is limited to
    Limit(limit::LimitArgs),
}

/// Does one of them.
pub(super) fn run(place: &Place, command: RepoCommand) -> Result<(), Failure> {
    match command {
        RepoCommand::List(args) => list::run(place, &args),
        RepoCommand::Create(args) => create::run(place, args),
        RepoCommand::Info(args) => info::run(place, args),
        RepoCommand::Fork(args) => fork::run(place, args),
        RepoCommand::Rename(request) => done(place, &Request::RepoRename(request)),
        RepoCommand::Delete(args) => delete::run(place, args),
        RepoCommand::Trash(args) => trash::run(place, &args),
        RepoCommand::Restore(args) => restore::run(place, args),
        RepoCommand::Config(args) => config::run(place, &args),
        RepoCommand::Limit(args) => limit::run(place, args),
    }
}

fn done(place: &Place, request: &Request) -> Result<(), Failure> {
    match ask(place, request)? {
        Reply::Done => Ok(()),
        other => Err(unexpected(place, &other)),
    }
}

fn describe_format(objects: Option<&str>, refs: Option<&str>) -> String {
    match (objects, refs) {
        (Some(objects), Some(refs)) => format!("{objects}, {refs}"),
        _ => "not initialised".to_owned(),
    }
}
