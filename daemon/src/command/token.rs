//! `gitmoor token …`: what a user, or a machine, shows at a door.

use super::access::{AccessRequest, done};
use super::{Failure, Reply, Request, ask, output, unexpected};
use crate::config::{Place, Seconds};
use clap::{Args, Subcommand};
use gitmoor_model::{RepoPattern, Role, TokenId, UserName};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use std::{fmt, io};

/// `gitmoor token …`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Print a new token; it is shown this once, and can be revoked
    Create(CreateTokenArgs),
    /// End a token at once
    Revoke {
        /// What gitmoor token list shows
        id: TokenId,
    },
    /// List all tokens, without their secrets
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `gitmoor token create`.
#[derive(Args, Debug)]
pub struct CreateTokenArgs {
    /// Whose it is: it allows no more than this user may
    #[arg(
        long,
        value_name = "USER",
        required_unless_present = "deploy",
        conflicts_with = "deploy"
    )]
    pub user: Option<UserName>,
    /// It is no user's, but a machine's: it allows what --repo and --role say
    #[arg(long, requires = "repos")]
    pub deploy: bool,
    /// Only these repositories, such as team/*.git or team/**; may be given several times
    /// [default: all of the user's]
    #[arg(id = "repos", long = "repo", value_name = "PATTERN")]
    pub repos: Vec<RepoPattern>,
    /// No more than this: read, write or force
    #[arg(long, value_name = "ROLE", default_value_t = Role::Read)]
    pub role: Role,
    /// How long it is good for, such as 12h or 90d; 0s for good
    #[arg(long, value_name = "TIME", default_value = "90d")]
    pub expires: Seconds,
    /// What to call it
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub label: String,
}

/// A token that was just made. Its text is shown once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    pub id: String,
    pub token: String,
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token {}", self.id)
    }
}

/// A line of `gitmoor token list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenLine {
    pub id: String,
    /// Whose it is; none of a deploy token.
    pub user: Option<UserName>,
    /// The greatest role that it allows.
    pub role: String,
    /// Patterns; none for all of the user's.
    pub repos: Vec<String>,
    /// Seconds since 1970; none for good.
    pub expires: Option<i64>,
    /// Seconds since 1970.
    pub created: i64,
    pub label: String,
}

/// Does one of them.
pub(super) fn run(place: &Place, command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create(args) => create(place, args),
        TokenCommand::Revoke { id } => {
            done(place, AccessRequest::TokenRevoke { id: id.to_string() })
        }
        TokenCommand::List { json } => list(place, json),
    }
}

fn create(place: &Place, args: CreateTokenArgs) -> Result<(), Failure> {
    let expires = Some(args.expires.0).filter(|within| *within > Duration::ZERO);
    let request = AccessRequest::TokenCreate {
        user: args.user,
        repos: args.repos,
        role: args.role.to_string(),
        seconds: expires.map(|within| within.as_secs()),
        label: args.label,
    };
    match ask(place, &Request::Access(request))? {
        Reply::NewToken(NewToken { token, .. }) => Ok(output::line(token)?),
        other => Err(unexpected(place, &other)),
    }
}

fn list(place: &Place, json: bool) -> Result<(), Failure> {
    match ask(place, &Request::Access(AccessRequest::TokenList))? {
        Reply::Tokens(tokens) if json => Ok(output::json(&tokens)?),
        Reply::Tokens(tokens) => Ok(tokens.iter().try_for_each(print)?),
        other => Err(unexpected(place, &other)),
    }
}

fn print(token: &TokenLine) -> io::Result<()> {
    let whose = token.user.as_ref().map_or("deploy", UserName::as_str);
    let expires = token.expires.map_or_else(
        || "for good".to_owned(),
        |at| format!("until {}", output::date(at)),
    );
    let repos = match token.repos.is_empty() {
        true => "all".to_owned(),
        false => token.repos.join(" "),
    };
    let line = format!(
        "{}  {whose}  {}  {repos}  {expires}  {}",
        token.id, token.role, token.label
    );
    output::line(line.trim_end())
}
