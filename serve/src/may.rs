//! What a caller may do in a repository. Who may not read a repository is not told whether it is there.

use crate::route::Service;
use crate::who::Caller;
use gitmoor_model::{NamePath, Repo, Role, Scope, Token};
use gitmoor_replicator::state::{NameEntry, View};
use gitmoor_replicator::{ReadError, read};

/// A repository, and what the caller may there.
#[derive(Clone, Debug)]
pub(crate) struct Allowed {
    pub(crate) repo: Repo,
    pub(crate) role: Role,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum MayError {
    /// A name and a token might help.
    #[error("a user's name and a token are needed: see gitmoor token create")]
    Anonymous,
    #[error("there is no such repository, or this token may not read it")]
    NotFound,
    #[error("{0}")]
    Forbidden(&'static str),
    #[error(transparent)]
    Unreadable(#[from] ReadError),
}

/// Whether a caller may use a service of the repository at a path: links are not followed.
pub(crate) fn may(
    view: &dyn View,
    caller: &Caller,
    path: &NamePath,
    service: Service,
) -> Result<Allowed, MayError> {
    let refused = || match caller {
        Caller::Anonymous => MayError::Anonymous,
        Caller::User(..) | Caller::Deploy(..) => MayError::NotFound,
    };
    let repo = match read::name(view, path)? {
        Some(NameEntry::Repo(id)) => read::repo(view, id)?,
        Some(NameEntry::Directory | NameEntry::Link(_) | NameEntry::File(_)) | None => None,
    };
    let repo = repo.ok_or_else(refused)?;
    let role = role(view, caller, &repo)?.ok_or_else(refused)?;
    match (service, role) {
        (Service::UploadPack, _) if is_off(&repo, "http.uploadpack") => Err(MayError::Forbidden(
            "fetching over HTTP is turned off in this repository (http.uploadpack)",
        )),
        (Service::ReceivePack, _) if is_off(&repo, "http.receivepack") => Err(MayError::Forbidden(
            "pushing over HTTP is turned off in this repository (http.receivepack)",
        )),
        (Service::ReceivePack, Role::Read) => match caller {
            Caller::Anonymous => Err(MayError::Anonymous),
            Caller::User(..) | Caller::Deploy(..) => Err(MayError::Forbidden(
                "this token may read the repository, and not push to it",
            )),
        },
        (Service::UploadPack, _) | (Service::ReceivePack, Role::Write | Role::Force) => {
            Ok(Allowed { repo, role })
        }
    }
}

fn role(view: &dyn View, caller: &Caller, repo: &Repo) -> Result<Option<Role>, ReadError> {
    let everyones = read::role(view, None, repo)?;
    Ok(match caller {
        Caller::Anonymous => everyones,
        Caller::User(user, _, token) if names(view, token, repo)? => {
            let own = read::role(view, Some(user), repo)?;
            everyones.max(own.map(|role| role.min(token.role)))
        }
        Caller::Deploy(_, token) if names(view, token, repo)? => everyones.max(Some(token.role)),
        Caller::User(..) | Caller::Deploy(..) => everyones,
    })
}

/// Whether a token is for a repository. What is inside another is that one's.
fn names(view: &dyn View, token: &Token, repo: &Repo) -> Result<bool, ReadError> {
    let scope = Scope {
        repos: token.repos.clone(),
        read_only: false,
    };
    let owners = read::owners(view, &repo.path)?;
    let outermost = owners.last().map_or(&repo.path, |owner| &owner.path);
    Ok(scope.sight().names(outermost))
}

/// As git reads it.
fn is_off(repo: &Repo, key: &str) -> bool {
    let value = repo.settings.get(key).map(String::as_str);
    matches!(value, Some("false" | "no" | "off" | "0"))
}
