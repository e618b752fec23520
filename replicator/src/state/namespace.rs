//! Commands on the namespace and on repositories as a whole.
//!
//! Every directory and repository has a row of its own under its full path, so
//! a rename rewrites the names beneath it and nothing else: whatever belongs to
//! a repository is keyed by its id.

use super::apply::{Context, Halt};
use super::audit::{self, AuditEvent};
use super::trash::{self, TrashedRepo};
use super::view::{KeyRange, Step, View, any_in, load};
use super::{Overlay, ReadError, Table, access, beside, import, keys, nest, read};
use crate::model::{NamePath, Refusal, Repo, RepoId, Timestamp, Usage, Version};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What stands at a path of the namespace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NameEntry {
    /// A directory of the namespace.
    Directory,
    /// A repository, by its permanent name.
    Repo(RepoId),
    /// A symbolic link.
    Link(NamedLink),
    /// A small file.
    File(NamedFile),
}

/// A symbolic link beside repositories.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NamedLink {
    /// Where it leads: any bytes but NUL, 1 to [`crate::model::MOST_OF_TARGET`] of them.
    pub target: Vec<u8>,
    /// When it was made.
    pub mtime: Timestamp,
    /// The commit that made it.
    pub version: Version,
}

/// A file beside repositories, without its bytes ([`read::contents`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NamedFile {
    /// Permission bits.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// When it was last written.
    pub mtime: Timestamp,
    /// The commit that wrote it. A change of its permission bits or times does not.
    pub version: Version,
}

impl NameEntry {
    /// Whether it is a file or a symbolic link, which rename(2) puts in the place of another.
    pub fn is_leaf(&self) -> bool {
        match self {
            Self::Directory | Self::Repo(_) => false,
            Self::Link(_) | Self::File(_) => true,
        }
    }
}

pub(super) fn create_directory(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    path: &NamePath,
) -> Result<(), Halt> {
    check_free(overlay, path)?;
    if path.names_repository() {
        return Err(Refusal::BadPath(path.clone()).into());
    }
    overlay.put(Table::Names, keys::name(path), &NameEntry::Directory);
    access::forget_directory(overlay, path)?;
    let event = AuditEvent::DirectoryCreated { path: path.clone() };
    Ok(audit::of_namespace(overlay, context, None, event)?)
}

pub(super) fn remove_directory(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    path: &NamePath,
) -> Result<(), Halt> {
    if path.is_root() || existing(overlay, path)? != NameEntry::Directory {
        return Err(Refusal::BadPath(path.clone()).into());
    }
    let beneath = KeyRange::prefix(&keys::names_beneath(path));
    if any_in(overlay, Table::Names, &beneath)? {
        return Err(Refusal::NotEmpty(path.clone()).into());
    }
    overlay.delete(Table::Names, keys::name(path));
    access::forget_directory(overlay, path)?;
    let event = AuditEvent::DirectoryRemoved { path: path.clone() };
    Ok(audit::of_namespace(overlay, context, None, event)?)
}

pub(super) fn create_repo(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    id: RepoId,
    path: &NamePath,
) -> Result<(), Halt> {
    check_new(overlay, id, path)?;
    make_repo(overlay, context, id, path)
}

/// An empty repository, at a path where it may stand.
pub(super) fn make_repo(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    id: RepoId,
    path: &NamePath,
) -> Result<(), Halt> {
    check_id(overlay, id)?;
    let repo = new_repo(context, id, path);
    put_repo(overlay, &repo);
    let event = AuditEvent::Created { path: path.clone() };
    audit::of_place(overlay, context, path, Some(id), event.clone())?;
    Ok(audit::of_repo(overlay, context, &repo, [event])?)
}

/// A directory in which git has begun to lay out a repository: the name does not say so.
pub(super) fn become_repo(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    id: RepoId,
    path: &NamePath,
) -> Result<(), Halt> {
    let stands = existing(overlay, path)?;
    if path.is_root() || stands != NameEntry::Directory {
        return Err(Refusal::Exists(path.clone()).into());
    }
    if any_in(
        overlay,
        Table::Names,
        &KeyRange::prefix(&keys::names_beneath(path)),
    )? {
        return Err(Refusal::NotEmpty(path.clone()).into());
    }
    access::become_repo(overlay, path, id)?;
    make_repo(overlay, context, id, path)
}

/// A repository as it begins.
pub(super) fn new_repo(context: Context<'_>, id: RepoId, path: &NamePath) -> Repo {
    Repo {
        id,
        path: path.clone(),
        created: context.time,
        forked_from: None,
        format: None,
        settings: BTreeMap::new(),
        limits: BTreeMap::new(),
        usage: Usage::default(),
        refs_version: context.version,
        catalog_version: context.version,
        packed_version: context.version,
        repacked_version: Version::default(),
    }
}

/// Gives a repository its name.
pub(super) fn put_repo(overlay: &mut Overlay<'_>, repo: &Repo) {
    let named = NameEntry::Repo(repo.id);
    overlay.put(Table::Names, keys::name(&repo.path), &named);
    overlay.put(Table::Repositories, keys::repo(repo.id), repo);
}

/// Whether a repository of this id may be created at a path.
pub(super) fn check_new(view: &dyn View, id: RepoId, path: &NamePath) -> Result<(), Halt> {
    check_free(view, path)?;
    if !path.names_repository() {
        return Err(Refusal::BadPath(path.clone()).into());
    }
    check_id(view, id)
}

/// Whether an id is free.
pub(super) fn check_id(view: &dyn View, id: RepoId) -> Result<(), Halt> {
    match holder_of(view, id)? {
        Some(holder) => Err(Refusal::Exists(holder).into()),
        None => Ok(()),
    }
}

/// Where the repository that has this id stands, or stood before it went to
/// the trash, or shall stand: its rows are there, so the id is taken each way.
pub(super) fn holder_of(view: &dyn View, id: RepoId) -> Result<Option<NamePath>, ReadError> {
    if let Some(repo) = read::repo(view, id)? {
        return Ok(Some(repo.path));
    }
    for row in [keys::trashed_repo(id), keys::expired_repo(id)] {
        if let Some(trashed) = load::<TrashedRepo>(view, Table::Trash, &row)? {
            return Ok(Some(trashed.repo.path));
        }
    }
    Ok(import::unfinished(view, id)?.map(|import| import.path))
}

/// What `gitmoor repo rename` asks for, and what earlier versions asked for: names say what they are.
pub(super) fn rename(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    from: &NamePath,
    to: &NamePath,
) -> Result<(), Halt> {
    let moved = existing(overlay, from)?;
    let is_repo = matches!(moved, NameEntry::Repo(_));
    if !from.is_root() && !moved.is_leaf() && to.names_repository() != is_repo {
        check_free(overlay, to)?;
        return Err(Refusal::BadPath(to.clone()).into());
    }
    move_tree(overlay, context, from, to)
}

/// Moves whatever stands at a path, with all that is beneath it.
pub(super) fn move_tree(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    from: &NamePath,
    to: &NamePath,
) -> Result<(), Halt> {
    let moved = existing(overlay, from)?;
    if from.is_root() {
        return Err(Refusal::BadPath(from.clone()).into());
    }
    check_free(overlay, to)?;
    // A directory of the name of a repository would be taken for one.
    let misnamed = moved == NameEntry::Directory && to.names_repository();
    if to.is_within(from) || misnamed {
        return Err(Refusal::BadPath(to.clone()).into());
    }
    carry(overlay, context, (from, to), moved)
}

/// The same, to where it may stand: of a directory what is in it goes along, of a repository what is inside it.
pub(super) fn carry(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    (from, to): (&NamePath, &NamePath),
    moved: NameEntry,
) -> Result<(), Halt> {
    let repo = match &moved {
        NameEntry::Repo(id) => Some(*id),
        NameEntry::Directory | NameEntry::Link(_) | NameEntry::File(_) => None,
    };
    move_name(overlay, context, from, to, moved)?;
    for (rest, entry) in subtree(overlay, from)? {
        let from = rejoin(from, &rest);
        let to = rejoin(to, &rest);
        move_name(overlay, context, &from, &to, entry)?;
    }
    // In the namespace, unless it stays inside.
    let at = match read::owners(overlay, from)?.is_empty() {
        true => from,
        false => to,
    };
    let event = renamed(from, to);
    Ok(audit::of_place(overlay, context, at, repo, event)?)
}

fn renamed(from: &NamePath, to: &NamePath) -> AuditEvent {
    let (from, to) = (from.clone(), to.clone());
    AuditEvent::Renamed { from, to }
}

/// Everything beneath a directory: the rest of its path, and what it is.
fn subtree(view: &dyn View, dir: &NamePath) -> Result<Vec<(Vec<u8>, NameEntry)>, ReadError> {
    let prefix = keys::names_beneath(dir);
    let mut found = Vec::new();
    view.scan(
        Table::Names,
        &KeyRange::prefix(&prefix),
        &mut |key, value| {
            let entry = super::view::decode(Table::Names, key, value)?;
            found.push((key[prefix.len()..].to_vec(), entry));
            Ok(Step::Next)
        },
    )?;
    Ok(found)
}

/// A path in a directory by the rest of it.
fn rejoin(dir: &NamePath, rest: &[u8]) -> NamePath {
    NamePath::new([dir.as_bytes(), b"/", rest].concat())
        .expect("a valid path and the tail of one make a valid path")
}

fn move_name(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    from: &NamePath,
    to: &NamePath,
    entry: NameEntry,
) -> Result<(), Halt> {
    overlay.delete(Table::Names, keys::name(from));
    overlay.put(Table::Names, keys::name(to), &entry);
    let id = match entry {
        NameEntry::Repo(id) => id,
        NameEntry::File(file) => {
            beside::put_place(overlay, to, file.version);
            return Ok(());
        }
        NameEntry::Directory => return Ok(access::move_directory(overlay, from, to)?),
        NameEntry::Link(_) => return Ok(()),
    };
    let mut repo = existing_repo(overlay, id)?;
    repo.path = to.clone();
    overlay.put(Table::Repositories, keys::repo(id), &repo);
    Ok(audit::of_repo(
        overlay,
        context,
        &repo,
        [renamed(from, to)],
    )?)
}

pub(super) fn delete_repo(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    id: RepoId,
) -> Result<(), Halt> {
    let repo = existing_repo(overlay, id)?;
    let inner = nest::note_gone(overlay, &repo)?;
    audit::of_place(overlay, context, &repo.path, Some(id), deleted(&repo))?;
    for gone in std::iter::once(repo).chain(inner) {
        discard(overlay, context, gone)?;
    }
    Ok(())
}

fn deleted(repo: &Repo) -> AuditEvent {
    let path = repo.path.clone();
    AuditEvent::Deleted { path }
}

/// Takes the name of a repository, which goes to the trash.
fn discard(overlay: &mut Overlay<'_>, context: Context<'_>, repo: Repo) -> Result<(), ReadError> {
    overlay.delete(Table::Names, keys::name(&repo.path));
    overlay.delete(Table::Repositories, keys::repo(repo.id));
    audit::of_repo(overlay, context, &repo, [deleted(&repo)])?;
    trash::keep_repo(overlay, context, repo);
    Ok(())
}

pub(super) fn existing_repo(view: &dyn View, id: RepoId) -> Result<Repo, Halt> {
    Ok(read::repo(view, id)?.ok_or(Refusal::NoRepo(id))?)
}

pub(super) fn existing(view: &dyn View, path: &NamePath) -> Result<NameEntry, Halt> {
    Ok(read::name(view, path)?.ok_or_else(|| Refusal::NotFound(path.clone()))?)
}

/// Whether something may be created at `path`: its parent is a directory and
/// nothing stands there.
pub(super) fn check_free(view: &dyn View, path: &NamePath) -> Result<(), Halt> {
    let Some(parent) = path.parent() else {
        return Err(Refusal::Exists(path.clone()).into());
    };
    check_parent(view, &parent, path)?;
    match read::name(view, path)? {
        Some(_) => Err(Refusal::Exists(path.clone()).into()),
        None => Ok(()),
    }
}

/// Whether names may stand in `parent`, such as `path`.
fn check_parent(view: &dyn View, parent: &NamePath, path: &NamePath) -> Result<(), Halt> {
    match existing(view, parent)? {
        NameEntry::Directory => Ok(()),
        NameEntry::Repo(_) | NameEntry::Link(_) | NameEntry::File(_) => {
            Err(Refusal::BadPath(path.clone()).into())
        }
    }
}
