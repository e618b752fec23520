//! `gitmoor user …`: the users of the doors, and their groups.

use super::access::{AccessRequest, done};
use super::{Failure, Reply, Request, ask, output, unexpected};
use crate::config::Place;
use clap::Subcommand;
use gitmoor_model::{GroupName, UserName};
use serde::{Deserialize, Serialize};
use std::io;

/// `gitmoor user …`.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user, who may do nothing yet
    Add {
        /// Such as alice: small letters, digits, dots, dashes and underscores
        user: UserName,
    },
    /// Remove a user, with its tokens and grants
    Remove {
        /// Who
        user: UserName,
    },
    /// Put a user into a group; a group is there when somebody is in it
    Join {
        /// Who
        user: UserName,
        /// Such as devs
        group: GroupName,
    },
    /// Take a user out of a group
    Leave {
        /// Who
        user: UserName,
        /// From where
        group: GroupName,
    },
    /// List all users, with their groups
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// A line of `gitmoor user list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLine {
    pub user: UserName,
    pub groups: Vec<GroupName>,
}

/// Does one of them.
pub(super) fn run(place: &Place, command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add { user } => done(place, AccessRequest::UserAdd { user }),
        UserCommand::Remove { user } => done(place, AccessRequest::UserRemove { user }),
        UserCommand::Join { user, group } => done(place, AccessRequest::UserJoin { user, group }),
        UserCommand::Leave { user, group } => done(place, AccessRequest::UserLeave { user, group }),
        UserCommand::List { json } => list(place, json),
    }
}

fn list(place: &Place, json: bool) -> Result<(), Failure> {
    match ask(place, &Request::Access(AccessRequest::UserList))? {
        Reply::Users(users) if json => Ok(output::json(&users)?),
        Reply::Users(users) => Ok(print(&users)?),
        other => Err(unexpected(place, &other)),
    }
}

fn print(users: &[UserLine]) -> io::Result<()> {
    let width = users.iter().map(|line| line.user.as_str().len()).max();
    let width = width.unwrap_or(0);
    for UserLine { user, groups } in users {
        let groups: Vec<_> = groups.iter().map(|group| format!("@{group}")).collect();
        let line = format!("{:width$}  {}", user.as_str(), groups.join(" "));
        output::line(line.trim_end())?;
    }
    Ok(())
}
