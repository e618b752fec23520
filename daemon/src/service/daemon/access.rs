//! Answers about users of the doors: who they are, their tokens, and what is granted to whom.

use super::repos::Repos;
use crate::admin::Rejection;
use crate::command::Reply;
use crate::command::access::{AccessRequest, GrantLine};
use crate::command::token::{NewToken, TokenLine};
use crate::command::user::UserLine;
use gitmoor_model::{
    AccessChange, Command, Grantee, Ground, NamePath, RepoPattern, Role, SecretDigest, Timestamp,
    Token, TokenId, UserName, presented, token_text,
};
use gitmoor_replicator::state::{Grant, NameEntry, TrashedRepo};
use gitmoor_replicator::{ProposeError, read};

/// See the module.
pub(super) struct Access<'a>(pub(super) &'a Repos<'a>);

impl Access<'_> {
    /// Does what is asked.
    pub(super) fn answer(&self, request: AccessRequest) -> Result<Reply, Rejection> {
        let caught_up = self.0.replica.read_barrier(&|| false);
        caught_up.map_err(|error: ProposeError| Rejection::failed(error))?;
        match request {
            AccessRequest::UserList => self.users().map(Reply::Users),
            AccessRequest::UserAdd { user } if user.is_reserved() => Err(Rejection::usage(
                format!("{user} is what the log calls callers without a user: choose another name"),
            )),
            AccessRequest::UserAdd { user } => self.change_access(AccessChange::AddUser(user)),
            AccessRequest::UserRemove { user } => {
                self.change_access(AccessChange::RemoveUser(user))
            }
            AccessRequest::UserJoin { user, group } => {
                self.change_access(AccessChange::Join { user, group })
            }
            AccessRequest::UserLeave { user, group } => {
                self.change_access(AccessChange::Leave { user, group })
            }
            AccessRequest::TokenList => self.tokens().map(Reply::Tokens),
            AccessRequest::TokenCreate {
                user,
                repos,
                role,
                seconds,
                label,
            } => self.create_token(user, repos, (&role, seconds, label)),
            AccessRequest::TokenRevoke { id } => {
                let id = id.parse().map_err(Rejection::usage)?;
                self.change_access(AccessChange::RevokeToken(id))
            }
            AccessRequest::List { at } => self.grants(at.as_deref()).map(Reply::Grants),
            AccessRequest::Grant { at, to, role } => {
                let to: Grantee = to.parse().map_err(Rejection::usage)?;
                let role = role.map(|role| role.parse()).transpose();
                let role = role.map_err(Rejection::usage)?;
                let ground = match role {
                    Some(_) => self.ground(&at)?,
                    None => self.ground_or_trashed(&at)?,
                };
                self.change_access(AccessChange::Grant { ground, to, role })
            }
        }
    }

    fn change_access(&self, change: AccessChange) -> Result<Reply, Rejection> {
        self.0.change(Command::Access(Box::new(change)))?;
        Ok(Reply::Done)
    }

    fn users(&self) -> Result<Vec<UserLine>, Rejection> {
        let users = read::users(self.0.replica.view()).map_err(Rejection::failed)?;
        let lines = users.into_iter().map(|(user, groups)| UserLine {
            user,
            groups: groups.into_iter().collect(),
        });
        Ok(lines.collect())
    }

    fn tokens(&self) -> Result<Vec<TokenLine>, Rejection> {
        let tokens = read::tokens(self.0.replica.view()).map_err(Rejection::failed)?;
        Ok(tokens.into_iter().map(line).collect())
    }

    /// The secret goes to the asker alone: state, log and audit trail have its digest, or nothing.
    fn create_token(
        &self,
        holder: Option<UserName>,
        repos: Vec<RepoPattern>,
        (role, seconds, label): (&str, Option<u64>, String),
    ) -> Result<Reply, Rejection> {
        let role: Role = role.parse().map_err(Rejection::usage)?;
        let (id, secret) = (TokenId(rand::random()), rand::random());
        let text = token_text(id, &secret);
        let digest = presented(&text).map(|(_, digest): (TokenId, SecretDigest)| digest);
        let created = Timestamp::now();
        let token = Token {
            digest: digest.expect("a token that was just made is one"),
            holder,
            repos,
            role,
            expires: seconds.map(|seconds| later(created, seconds)),
            label,
            created,
        };
        self.change_access(AccessChange::AddToken { id, token })?;
        Ok(Reply::NewToken(NewToken {
            id: id.to_string(),
            token: text,
        }))
    }

    fn grants(&self, at: Option<&str>) -> Result<Vec<GrantLine>, Rejection> {
        let at = at.map(|at| self.ground_or_trashed(at)).transpose()?;
        let grants = read::grants(self.0.replica.view()).map_err(Rejection::failed)?;
        let wanted = grants
            .into_iter()
            .filter(|grant| at.as_ref().is_none_or(|at| *at == grant.ground));
        let mut lines = Vec::new();
        for grant in wanted {
            lines.push(GrantLine {
                at: self.place_of(&grant)?,
                trashed: self.trashed(&grant)?,
                to: grant.to.to_string(),
                role: grant.role.to_string(),
            });
        }
        lines.sort_by(|a, b| (&a.at, &a.trashed, &a.to).cmp(&(&b.at, &b.trashed, &b.to)));
        Ok(lines)
    }

    /// A directory ends with a slash.
    fn place_of(&self, grant: &Grant) -> Result<String, Rejection> {
        match &grant.ground {
            Ground::Directory(path) => Ok(format!("{path}/")),
            Ground::Repository(id) => {
                let path = read::path_of(self.0.replica.view(), *id).map_err(Rejection::failed)?;
                Ok(path.map_or_else(|| id.to_string(), |path| path.to_string()))
            }
        }
    }

    /// By which id a repository is known that has its name no longer.
    fn trashed(&self, grant: &Grant) -> Result<Option<String>, Rejection> {
        let Ground::Repository(id) = grant.ground else {
            return Ok(None);
        };
        let repo = read::repo(self.0.replica.view(), id).map_err(Rejection::failed)?;
        Ok(repo.is_none().then(|| id.to_string()))
    }

    /// What was granted in a repository of the trash can be looked at and taken back: by its id, or by its former name
    /// if nothing else has it.
    fn ground_or_trashed(&self, at: &str) -> Result<Ground, Rejection> {
        let found = self.ground(at);
        if found.is_ok() {
            return found;
        }
        let trashed = read::trashed_repos(self.0.replica.view()).map_err(Rejection::failed)?;
        let is_meant = |repo: &&TrashedRepo| {
            let (id, name) = (repo.repo.id.to_string(), repo.repo.path.to_string());
            id == at || name == at
        };
        let last = trashed
            .iter()
            .filter(is_meant)
            .max_by_key(|repo| repo.version);
        match last {
            Some(trashed) => Ok(Ground::Repository(trashed.repo.id)),
            None => found,
        }
    }

    fn ground(&self, at: &str) -> Result<Ground, Rejection> {
        let absent = || Rejection::failed(format!("there is no repository and no directory {at}"));
        let name = at.strip_prefix('/').unwrap_or(at);
        let name = name.strip_suffix('/').unwrap_or(name);
        // A variable of a script that nobody has set is not everything.
        if name.is_empty() && at != "/" {
            let expected = "expected a repository, a directory, or / for everything";
            return Err(Rejection::usage(format!("{at:?}: {expected}")));
        }
        let path = NamePath::new(name).ok_or_else(absent)?;
        match read::name(self.0.replica.view(), &path).map_err(Rejection::failed)? {
            Some(NameEntry::Repo(id)) => Ok(Ground::Repository(id)),
            Some(NameEntry::Directory) => Ok(Ground::Directory(path)),
            Some(NameEntry::Link(_) | NameEntry::File(_)) | None => Err(absent()),
        }
    }
}

fn later(time: Timestamp, seconds: u64) -> Timestamp {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Timestamp {
        secs: time.secs.saturating_add(seconds),
        ..time
    }
}

fn line((id, token): (TokenId, Token)) -> TokenLine {
    TokenLine {
        id: id.to_string(),
        user: token.holder,
        role: token.role.to_string(),
        repos: token.repos.iter().map(ToString::to_string).collect(),
        expires: token.expires.map(|expires| expires.secs),
        created: token.created.secs,
        label: token.label,
    }
}
