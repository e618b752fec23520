//! Users of the doors, their groups and tokens, and what is granted to whom.

use super::name;
use crate::model::{
    Grantee, Ground, GroupName, NamePath, Repo, RepoId, Role, Token, TokenId, User, UserName,
};
use crate::state::view::{KeyRange, Step, View, decode, load};
use crate::state::{NameEntry, ReadError, Table, keys};
use std::collections::{BTreeMap, BTreeSet};

/// Somebody has a role somewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Where.
    pub ground: Ground,
    /// Who.
    pub to: Grantee,
    /// What.
    pub role: Role,
}

/// A user of the doors.
pub fn user(view: &dyn View, user: &UserName) -> Result<Option<User>, ReadError> {
    load(view, Table::Access, &keys::user(user))
}

/// All users, by name, each with its groups.
pub fn users(view: &dyn View) -> Result<BTreeMap<UserName, BTreeSet<GroupName>>, ReadError> {
    let mut names = Vec::new();
    let range = KeyRange::prefix(&[keys::USER]);
    view.scan(Table::Access, &range, &mut |key, _| {
        names.push(keys::user_of(key)?);
        Ok(Step::Next)
    })?;
    let with_groups = |user: UserName| Ok((groups(view, &user)?, user));
    let users = names.into_iter().map(with_groups);
    users
        .map(|user| user.map(|(groups, user)| (user, groups)))
        .collect()
}

/// The groups of a user.
pub fn groups(view: &dyn View, user: &UserName) -> Result<BTreeSet<GroupName>, ReadError> {
    let prefix = keys::groups(user);
    let mut found = BTreeSet::new();
    view.scan(Table::Access, &KeyRange::prefix(&prefix), &mut |key, _| {
        found.insert(keys::group_of(&key[prefix.len()..])?);
        Ok(Step::Next)
    })?;
    Ok(found)
}

/// A token, which is found by what is no secret of it.
pub fn token(view: &dyn View, id: TokenId) -> Result<Option<Token>, ReadError> {
    load(view, Table::Access, &keys::token(id))
}

/// All tokens.
pub fn tokens(view: &dyn View) -> Result<BTreeMap<TokenId, Token>, ReadError> {
    let mut found = BTreeMap::new();
    let range = KeyRange::prefix(&[keys::TOKEN]);
    view.scan(Table::Access, &range, &mut |key, value| {
        let token = decode(Table::Access, key, value)?;
        found.insert(keys::token_of(key)?, token);
        Ok(Step::Next)
    })?;
    Ok(found)
}

/// All grants: those of directories first, in the order of their paths.
pub fn grants(view: &dyn View) -> Result<Vec<Grant>, ReadError> {
    let mut found = Vec::new();
    for kind in [keys::ON_DIRECTORY, keys::ON_REPOSITORY] {
        let range = KeyRange::prefix(&[kind]);
        view.scan(Table::Access, &range, &mut |key, value| {
            let (ground, to) = keys::grant_of(key)?;
            let role = decode(Table::Access, key, value)?;
            found.push(Grant { ground, to, role });
            Ok(Step::Next)
        })?;
    }
    Ok(found)
}

/// What somebody was granted at one place, and nowhere above.
pub fn grant(view: &dyn View, ground: &Ground, to: &Grantee) -> Result<Option<Role>, ReadError> {
    load(view, Table::Access, &keys::grant(ground, to))
}

/// What a user may in a repository, or without a user, everyone: the greatest of what is granted to it, to its groups
/// and to everyone, of the repository, of those around it and of the directories above.
pub fn role(
    view: &dyn View,
    user: Option<&UserName>,
    repo: &Repo,
) -> Result<Option<Role>, ReadError> {
    let mut asking = vec![Grantee::Everyone];
    if let Some(user) = user {
        asking.push(Grantee::User(user.clone()));
        asking.extend(groups(view, user)?.into_iter().map(Grantee::Group));
    }
    let mut greatest = None;
    for ground in grounds(view, repo)? {
        for to in &asking {
            greatest = greatest.max(grant(view, &ground, to)?);
        }
    }
    Ok(greatest)
}

/// Where a grant is one of a repository, too.
fn grounds(view: &dyn View, repo: &Repo) -> Result<Vec<Ground>, ReadError> {
    let mut found = vec![Ground::Repository(repo.id)];
    for above in std::iter::successors(repo.path.parent(), NamePath::parent) {
        match name(view, &above)? {
            Some(NameEntry::Repo(id)) => found.push(Ground::Repository(id)),
            Some(NameEntry::Directory) => found.push(Ground::Directory(above)),
            // Directories of a repository have no rows.
            Some(NameEntry::Link(_) | NameEntry::File(_)) | None => {}
        }
    }
    Ok(found)
}

/// Grants of a directory itself.
pub(in crate::state) fn grants_of_directory(
    view: &dyn View,
    path: &NamePath,
) -> Result<Vec<(Grantee, Role)>, ReadError> {
    on(view, &keys::on_directory(path))
}

/// Grants of a repository itself.
pub(in crate::state) fn grants_of_repo(
    view: &dyn View,
    id: RepoId,
) -> Result<Vec<(Grantee, Role)>, ReadError> {
    on(view, &keys::on_repository(id))
}

fn on(view: &dyn View, prefix: &[u8]) -> Result<Vec<(Grantee, Role)>, ReadError> {
    let mut found = Vec::new();
    view.scan(
        Table::Access,
        &KeyRange::prefix(prefix),
        &mut |key, value| {
            let (_, to) = keys::grant_of(key)?;
            found.push((to, decode(Table::Access, key, value)?));
            Ok(Step::Next)
        },
    )?;
    Ok(found)
}
