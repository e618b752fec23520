//! Who may do what through the doors: users and groups, tokens, grants.
//!
//! A grant is of a repository, by its id, or of a directory, by its path. So it goes along when either is renamed; a
//! directory that goes takes its grants with it, a repository when it is purged. A group is nothing but its members and
//! its grants.

use super::apply::{Context, Halt};
use super::audit::{self, AuditEvent};
use super::{NameEntry, Overlay, ReadError, Table, keys, namespace, read};
use crate::model::{
    AccessChange, Grantee, Ground, GroupName, NamePath, Refusal, RepoId, Role, Token, TokenId,
    User, UserName,
};

/// What changed, from what, to what.
type Told = (String, Option<String>, Option<String>);

pub(super) fn change(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    change: &AccessChange,
) -> Result<(), Halt> {
    let (what, old, new) = match change {
        AccessChange::AddUser(user) => add_user(overlay, context, user)?,
        AccessChange::RemoveUser(user) => remove_user(overlay, user)?,
        AccessChange::Join { user, group } => set_member(overlay, user, group, true)?,
        AccessChange::Leave { user, group } => set_member(overlay, user, group, false)?,
        AccessChange::AddToken { id, token } => add_token(overlay, *id, token)?,
        AccessChange::RevokeToken(id) => revoke_token(overlay, *id)?,
        AccessChange::Grant { ground, to, role } => grant(overlay, ground, to, *role)?,
    };
    let event = AuditEvent::Access { what, old, new };
    Ok(audit::of_namespace(overlay, context, None, event)?)
}

fn add_user(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    user: &UserName,
) -> Result<Told, Halt> {
    if read::user(overlay, user)?.is_some() {
        return Err(Refusal::UserExists(user.clone()).into());
    }
    let created = context.time;
    overlay.put(Table::Access, keys::user(user), &User { created });
    Ok((format!("user {user}"), None, Some("added".to_owned())))
}

/// Whoever gets the name later must not get what this one had.
fn remove_user(overlay: &mut Overlay<'_>, user: &UserName) -> Result<Told, Halt> {
    check_user(overlay, user)?;
    overlay.delete(Table::Access, keys::user(user));
    for group in read::groups(overlay, user)? {
        overlay.delete(Table::Access, keys::member_of(user, &group));
    }
    for (id, token) in read::tokens(overlay)? {
        if token.holder.as_ref() == Some(user) {
            overlay.delete(Table::Access, keys::token(id));
        }
    }
    let to = Grantee::User(user.clone());
    for grant in read::grants(overlay)? {
        if grant.to == to {
            overlay.delete(Table::Access, keys::grant(&grant.ground, &to));
        }
    }
    Ok((format!("user {user}"), Some("there".to_owned()), None))
}

fn set_member(
    overlay: &mut Overlay<'_>,
    user: &UserName,
    group: &GroupName,
    is_member: bool,
) -> Result<Told, Halt> {
    check_user(overlay, user)?;
    let key = keys::member_of(user, group);
    let was = read::groups(overlay, user)?.contains(group);
    if !was && !is_member {
        let (user, group) = (user.clone(), group.clone());
        return Err(Refusal::NotInGroup { user, group }.into());
    }
    match is_member {
        true => overlay.put(Table::Access, key, &()),
        false => overlay.delete(Table::Access, key),
    }
    let told = |is: bool| is.then(|| "member".to_owned());
    Ok((format!("@{group} {user}"), told(was), told(is_member)))
}

fn add_token(overlay: &mut Overlay<'_>, id: TokenId, token: &Token) -> Result<Told, Halt> {
    if read::token(overlay, id)?.is_some() {
        return Err(Refusal::TokenExists(id).into());
    }
    if let Some(holder) = &token.holder {
        check_user(overlay, holder)?;
    }
    overlay.put(Table::Access, keys::token(id), token);
    Ok((format!("token {id}"), None, Some(described(token))))
}

fn revoke_token(overlay: &mut Overlay<'_>, id: TokenId) -> Result<Told, Halt> {
    let token = read::token(overlay, id)?.ok_or(Refusal::NoToken(id))?;
    overlay.delete(Table::Access, keys::token(id));
    Ok((format!("token {id}"), Some(described(&token)), None))
}

/// For the audit trail: nothing that could be used.
fn described(token: &Token) -> String {
    let mut words = vec![match &token.holder {
        Some(holder) => format!("of {holder}"),
        None => "deploy".to_owned(),
    }];
    words.push(token.role.to_string());
    words.extend(token.repos.iter().map(ToString::to_string));
    words.join(" ")
}

fn grant(
    overlay: &mut Overlay<'_>,
    ground: &Ground,
    to: &Grantee,
    role: Option<Role>,
) -> Result<Told, Halt> {
    let place = place(overlay, ground, role)?;
    if let (Grantee::User(user), Some(_)) = (to, role) {
        check_user(overlay, user)?;
    }
    let old = read::grant(overlay, ground, to)?;
    if (old, role) == (None, None) {
        let (to, at) = (to.clone(), place);
        return Err(Refusal::NoGrant { to, at }.into());
    }
    let key = keys::grant(ground, to);
    match role {
        Some(role) => overlay.put(Table::Access, key, &role),
        None => overlay.delete(Table::Access, key),
    }
    let told = |role: Option<Role>| role.map(|role| role.to_string());
    Ok((format!("grant {to} {place}"), told(old), told(role)))
}

/// Where something is granted, as people read it. What was granted of a repository in the trash, and would come back with
/// it, can be taken back only.
fn place(overlay: &Overlay<'_>, ground: &Ground, role: Option<Role>) -> Result<String, Halt> {
    match (ground, role) {
        (Ground::Repository(id), Some(_)) => {
            Ok(namespace::existing_repo(overlay, *id)?.path.to_string())
        }
        (Ground::Repository(id), None) => {
            let path = read::path_of(overlay, *id)?.ok_or(Refusal::NoRepo(*id))?;
            Ok(path.to_string())
        }
        (Ground::Directory(path), _) => match namespace::existing(overlay, path)? {
            NameEntry::Directory => Ok(format!("{path}/")),
            NameEntry::Repo(_) | NameEntry::Link(_) | NameEntry::File(_) => {
                Err(Refusal::BadPath(path.clone()).into())
            }
        },
    }
}

fn check_user(overlay: &Overlay<'_>, user: &UserName) -> Result<(), Halt> {
    match read::user(overlay, user)? {
        Some(_) => Ok(()),
        None => Err(Refusal::NoUser(user.clone()).into()),
    }
}

/// A directory goes, or a new one comes: nothing of another that was called so holds for it.
pub(super) fn forget_directory(
    overlay: &mut Overlay<'_>,
    path: &NamePath,
) -> Result<(), ReadError> {
    let ground = Ground::Directory(path.clone());
    for (to, _) in read::grants_of_directory(overlay, path)? {
        overlay.delete(Table::Access, keys::grant(&ground, &to));
    }
    Ok(())
}

/// A directory is renamed.
pub(super) fn move_directory(
    overlay: &mut Overlay<'_>,
    from: &NamePath,
    to: &NamePath,
) -> Result<(), ReadError> {
    put_elsewhere(overlay, from, Ground::Directory(to.clone()))
}

/// A directory becomes a repository.
pub(super) fn become_repo(
    overlay: &mut Overlay<'_>,
    path: &NamePath,
    id: RepoId,
) -> Result<(), ReadError> {
    put_elsewhere(overlay, path, Ground::Repository(id))
}

fn put_elsewhere(
    overlay: &mut Overlay<'_>,
    from: &NamePath,
    ground: Ground,
) -> Result<(), ReadError> {
    let granted = read::grants_of_directory(overlay, from)?;
    forget_directory(overlay, from)?;
    for (to, role) in granted {
        overlay.put(Table::Access, keys::grant(&ground, &to), &role);
    }
    Ok(())
}

/// A repository is purged.
pub(super) fn forget_repo(overlay: &mut Overlay<'_>, id: RepoId) -> Result<(), ReadError> {
    let ground = Ground::Repository(id);
    for (to, _) in read::grants_of_repo(overlay, id)? {
        overlay.delete(Table::Access, keys::grant(&ground, &to));
    }
    Ok(())
}
