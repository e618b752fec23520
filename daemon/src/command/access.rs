//! `gitmoor access …`: who may do what in which repositories, through the doors. What `user` and `token` ask is here
//! as well.

use super::documented::documented;
use super::{Failure, Reply, Request, ask, output, unexpected};
use crate::config::Place;
use clap::Subcommand;
use gitmoor_model::{Grantee, GroupName, RepoPattern, Role, UserName};
use serde::{Deserialize, Serialize};
use std::io;

/// `gitmoor access …`.
#[derive(Debug, Subcommand)]
pub enum AccessCommand {
    /// Let somebody do something in a repository, or in all of a directory
    Grant {
        /// A repository or a directory, such as team/app.git or team; / for everything
        at: String,
        /// A user, a group such as @devs, or everyone
        to: Grantee,
        /// read, write (push; branches only go forward) or force (rewrite and delete branches)
        role: Role,
    },
    /// Take that back
    Revoke {
        /// The repository or directory of the grant; a repository in the trash by its id
        at: String,
        /// Of the grant
        to: Grantee,
    },
    /// List what is granted
    List {
        /// Only grants of this repository or directory itself
        at: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

documented! {
    /// What may be asked about users of the doors, and what they may.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(tag = "about", rename_all = "kebab-case", deny_unknown_fields)]
    pub enum AccessRequest {
        /// Lists all users. Answered with `users`.
        UserList,
        /// Adds a user.
        UserAdd {
            /// Who.
            user: UserName,
        },
        /// Removes a user, with its tokens and grants.
        UserRemove {
            /// Who.
            user: UserName,
        },
        /// Puts a user into a group.
        UserJoin {
            /// Who.
            user: UserName,
            /// Where.
            group: GroupName,
        },
        /// Takes a user out of a group.
        UserLeave {
            /// Who.
            user: UserName,
            /// From where.
            group: GroupName,
        },
        /// Lists all tokens, without their secrets. Answered with `tokens`.
        TokenList,
        /// Makes a token. Answered with `new-token`.
        TokenCreate {
            /// Whose; none for a deploy token.
            user: Option<UserName>,
            /// For these repositories only, by patterns.
            repos: Vec<RepoPattern>,
            /// No more than this: `read`, `write`, `force`.
            role: String,
            /// Good for so long; none for good.
            seconds: Option<u64>,
            /// What it is called.
            label: String,
        },
        /// Ends a token.
        TokenRevoke {
            /// Which.
            id: String,
        },
        /// Lists grants, of one repository or directory or all. Answered with `grants`.
        List {
            /// Which.
            at: Option<String>,
        },
        /// Grants a role, or without one takes it back.
        Grant {
            /// A repository, a directory, or `/`.
            at: String,
            /// A user, `@` and a group, or `everyone`.
            to: String,
            /// `read`, `write`, `force`.
            role: Option<String>,
        },
    }
}

impl AccessRequest {
    /// Whether it changes anything.
    pub(crate) fn changes(&self) -> bool {
        match self {
            Self::UserList | Self::TokenList | Self::List { .. } => false,
            Self::UserAdd { .. }
            | Self::UserRemove { .. }
            | Self::UserJoin { .. }
            | Self::UserLeave { .. }
            | Self::TokenCreate { .. }
            | Self::TokenRevoke { .. }
            | Self::Grant { .. } => true,
        }
    }
}

/// A line of `gitmoor access list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantLine {
    /// A repository, or a directory with a slash at the end.
    pub at: String,
    /// A user, `@` and a group, or `everyone`.
    pub to: String,
    pub role: String,
    /// The id of a repository in the trash, of which `at` is the former name: what is granted there comes back with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trashed: Option<String>,
}

/// Does one of them.
pub(super) fn run(place: &Place, command: AccessCommand) -> Result<(), Failure> {
    match command {
        AccessCommand::Grant { at, to, role } => grant(place, at, &to, Some(role)),
        AccessCommand::Revoke { at, to } => grant(place, at, &to, None),
        AccessCommand::List { at, json } => list(place, at, json),
    }
}

fn grant(place: &Place, at: String, to: &Grantee, role: Option<Role>) -> Result<(), Failure> {
    let (to, role) = (to.to_string(), role.map(|role| role.to_string()));
    done(place, AccessRequest::Grant { at, to, role })
}

fn list(place: &Place, at: Option<String>, json: bool) -> Result<(), Failure> {
    match ask(place, &Request::Access(AccessRequest::List { at }))? {
        Reply::Grants(grants) if json => Ok(output::json(&grants)?),
        Reply::Grants(grants) => Ok(print(&grants)?),
        other => Err(unexpected(place, &other)),
    }
}

fn print(grants: &[GrantLine]) -> io::Result<()> {
    let longest = |text: fn(&GrantLine) -> &String| {
        let widths = grants.iter().map(|grant| text(grant).len());
        widths.max().unwrap_or(0)
    };
    let (at, to) = (longest(|grant| &grant.at), longest(|grant| &grant.to));
    for grant in grants {
        let trashed = grant.trashed.as_ref();
        let trashed = trashed.map(|id| format!("  in the trash as {id}"));
        output::line(format_args!(
            "{:at$}  {:to$}  {}{}",
            grant.at,
            grant.to,
            grant.role,
            trashed.unwrap_or_default()
        ))?;
    }
    Ok(())
}

/// Asks for what needs no answer.
pub(super) fn done(place: &Place, request: AccessRequest) -> Result<(), Failure> {
    match ask(place, &Request::Access(request))? {
        Reply::Done => Ok(()),
        other => Err(unexpected(place, &other)),
    }
}
