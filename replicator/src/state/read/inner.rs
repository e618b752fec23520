//! Repositories inside repositories: their names are rows beneath the row of the one around them, and a directory
//! between the two has no row.

use super::{Listing, children, name, repo};
use crate::model::{Inside, Limit, MODULES, ModulePath, NamePath, Repo, RepoId, RepoPath, Usage};
use crate::state::view::{KeyRange, Step, View, any_in, decode};
use crate::state::{NameEntry, ReadError, Table, keys};

/// The repository that stands at a path of another one. If that one is renamed between the two looks, it is looked for
/// again.
pub fn module(view: &dyn View, inside: &Inside) -> Result<Option<RepoId>, ReadError> {
    let mut owner = repo(view, inside.owner)?;
    while let Some(known) = owner {
        match name(view, &inside.module.beneath(&known.path))? {
            Some(NameEntry::Repo(id)) => return Ok(Some(id)),
            Some(NameEntry::Directory | NameEntry::Link(_) | NameEntry::File(_)) | None => {}
        }
        let now = repo(view, inside.owner)?;
        owner = now.filter(|now| now.path != known.path);
    }
    Ok(None)
}

/// The repositories that stand in a directory of another one, and the directories there in which others stand.
pub fn modules_in(
    view: &dyn View,
    owner: RepoId,
    dir: &RepoPath,
) -> Result<Listing<()>, ReadError> {
    match directory(view, owner, dir)? {
        Some(dir) => children(view, Table::Names, &keys::names_beneath(&dir), |_, _, _| {
            Ok(())
        }),
        None => Ok(Listing::new()),
    }
}

/// Whether a repository stands beneath a directory of another one.
pub fn has_modules_in(view: &dyn View, owner: RepoId, dir: &RepoPath) -> Result<bool, ReadError> {
    match directory(view, owner, dir)? {
        Some(dir) => is_around(view, &dir),
        None => Ok(false),
    }
}

/// A directory of a repository by its name in the namespace.
fn directory(
    view: &dyn View,
    owner: RepoId,
    dir: &RepoPath,
) -> Result<Option<NamePath>, ReadError> {
    let owner = repo(view, owner)?;
    Ok(owner.and_then(|owner| match dir.is_root() {
        true => Some(owner.path),
        false => NamePath::new([owner.path.as_bytes(), b"/", dir.as_bytes()].concat()),
    }))
}

/// Whether any repository stands beneath a path that is a repository, or beneath one.
pub(in crate::state) fn is_around(view: &dyn View, path: &NamePath) -> Result<bool, ReadError> {
    let beneath = KeyRange::prefix(&keys::names_beneath(path));
    any_in(view, Table::Names, &beneath)
}

/// All repositories inside the one of this path, at any depth, in the order of their names.
pub fn inner(view: &dyn View, path: &NamePath) -> Result<Vec<Repo>, ReadError> {
    let mut ids = Vec::new();
    let beneath = KeyRange::prefix(&keys::names_beneath(path));
    view.scan(Table::Names, &beneath, &mut |key, value| {
        if let NameEntry::Repo(id) = decode(Table::Names, key, value)? {
            ids.push(id);
        }
        Ok(Step::Next)
    })?;
    let mut found = Vec::new();
    for id in ids {
        found.extend(repo(view, id)?);
    }
    Ok(found)
}

/// The repositories around what stands at a path, the innermost first.
pub fn owners(view: &dyn View, path: &NamePath) -> Result<Vec<Repo>, ReadError> {
    let mut found = Vec::new();
    for above in above_modules(path) {
        if let Some(NameEntry::Repo(id)) = name(view, &above)? {
            found.extend(repo(view, id)?);
        }
    }
    Ok(found)
}

/// Where in the innermost repository around it a path is; `None` of a path that is inside none.
pub fn inside(view: &dyn View, path: &NamePath) -> Result<Option<Inside>, ReadError> {
    let owner = owners(view, path)?.into_iter().next();
    Ok(owner.and_then(|owner| {
        let rest = path.as_bytes().get(owner.path.as_bytes().len() + 1..)?;
        let module = ModulePath::new(RepoPath::new(rest)?)?;
        let owner = owner.id;
        Some(Inside { owner, module })
    }))
}

/// By whose name it is decided who sees what stands, or stood, at a path: that of the outermost repository around it,
/// or its own.
pub(crate) fn outermost(view: &dyn View, path: &NamePath) -> Result<NamePath, ReadError> {
    let mut outermost = path.clone();
    for above in above_modules(path) {
        match name(view, &above)? {
            // Perhaps in the trash, as what is inside it.
            Some(NameEntry::Repo(_)) | None => outermost = above,
            Some(NameEntry::Directory | NameEntry::Link(_) | NameEntry::File(_)) => {}
        }
    }
    Ok(outermost)
}

/// The paths above one in whose `modules/` it is, from the longest. Few paths have any, and ask for no row.
fn above_modules(path: &NamePath) -> impl Iterator<Item = NamePath> {
    let mut above = path.parent();
    std::iter::from_fn(move || {
        while let Some(dir) = above.take() {
            above = dir.parent();
            if dir.file_name() == MODULES {
                return above.clone().filter(|owner| !owner.is_root());
            }
        }
        None
    })
}

/// A limit of what a repository and all inside it may come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    /// [`Limit::Bytes`] or [`Limit::Refs`].
    pub limit: Limit,
    /// How much there may be.
    pub most: u64,
    /// How much there is.
    pub used: u64,
}

/// What a repository and all inside it have come to.
pub fn usage(view: &dyn View, repo: &Repo) -> Result<Usage, ReadError> {
    let inner = inner(view, &repo.path)?;
    Ok(inner
        .iter()
        .fold(repo.usage, |sum, inner| sum.plus(inner.usage)))
}

/// The quotas that hold for a repository: its own, and those of the repositories around it.
pub fn quotas(view: &dyn View, repo: &Repo) -> Result<Vec<Quota>, ReadError> {
    let mut found = quotas_of(view, repo)?;
    for around in owners(view, &repo.path)? {
        found.extend(quotas_of(view, &around)?);
    }
    Ok(found)
}

/// Its own alone. Who has none asks for no row.
pub(in crate::state) fn quotas_of(view: &dyn View, repo: &Repo) -> Result<Vec<Quota>, ReadError> {
    let limits = [Limit::Bytes, Limit::Refs].map(|limit| (limit, repo.limits.get(&limit)));
    if limits.iter().all(|(_, most)| most.is_none()) {
        return Ok(Vec::new());
    }
    let used = usage(view, repo)?;
    let quota = |(limit, most): (Limit, Option<&u64>)| {
        Some(Quota {
            limit,
            most: *most?,
            used: limit.of(used),
        })
    };
    Ok(limits.into_iter().filter_map(quota).collect())
}
