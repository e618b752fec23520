//! What the file system and the nodes ask of the state, answered from any [`View`].

use super::audit::{Head, Trail};
use super::condemned::CondemnedKey;
use super::trash::{TrashedFile, TrashedRepo};
use super::view::{KeyRange, Step, View, decode, decode_grown, load, load_grown};
use super::{AuditRecord, NameEntry, ReadError, Table, keys, loans};
use crate::model::{
    BlockDigest, ClaimId, Client, ClientEntry, ClusterId, FileAdd, FileEntry, Import, Invitation,
    Member, NamePath, PackedRef, RefEntry, Repo, RepoId, RepoPath, SecretDigest, StoreRecord,
    Version,
};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};

/// A name in a directory listing of the refs room or the catalog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Child<T> {
    /// A file.
    File(T),
    /// A directory, which exists because something lies beneath it.
    Directory,
}

/// The direct children of a directory, in byte order of their names.
pub type Listing<T> = Vec<(Vec<u8>, Child<T>)>;

/// Receives audit records in the order of their versions; returns whether to go on.
pub type AuditSink<'a> = dyn FnMut(Version, AuditRecord) -> bool + 'a;

/// Receives the packed table in ascending byte order of names; returns whether
/// to go on.
pub type PackedSink<'a> = dyn FnMut(&[u8], PackedRef) -> bool + 'a;

/// What stands at a path of the namespace.
pub fn name(view: &dyn View, path: &NamePath) -> Result<Option<NameEntry>, ReadError> {
    if path.is_root() {
        return Ok(Some(NameEntry::Directory));
    }
    load(view, Table::Names, &keys::name(path))
}

/// The direct children of a namespace directory, by name.
pub fn names_in(view: &dyn View, dir: &NamePath) -> Result<Vec<(Vec<u8>, NameEntry)>, ReadError> {
    let children = children(view, Table::Names, &keys::names_beneath(dir), decode)?;
    // A directory has a row of its own; that something lies beneath it too is
    // no news.
    let named = children
        .into_iter()
        .filter_map(|(name, child)| match child {
            Child::File(entry) => Some((name, entry)),
            Child::Directory => None,
        });
    Ok(named.collect())
}

/// The cluster that this is; `None` for a node alone.
pub fn cluster(view: &dyn View) -> Result<Option<ClusterId>, ReadError> {
    load(view, Table::Members, keys::CLUSTER)
}

/// Where the cluster keeps object files; `None` before its first mount.
pub fn store(view: &dyn View) -> Result<Option<StoreRecord>, ReadError> {
    load(view, Table::Members, keys::STORE)
}

/// The claims to the store that are this state's, the newest last. `None` before the first; none, but
/// `Some`, in a restored backup.
pub fn claims(view: &dyn View) -> Result<Option<Vec<ClaimId>>, ReadError> {
    load(view, Table::Members, keys::CLAIMS)
}

/// Whether a node was removed from the cluster.
pub fn is_dismissed(view: &dyn View, node: u64) -> Result<bool, ReadError> {
    let row: Option<()> = load(view, Table::Members, &keys::dismissed(node))?;
    Ok(row.is_some())
}

/// The members of the cluster, by id.
pub fn members(view: &dyn View) -> Result<BTreeMap<u64, Member>, ReadError> {
    by_id(view, keys::MEMBER, decode)
}

/// The clients of the cluster, by id.
pub fn clients(view: &dyn View) -> Result<BTreeMap<u64, ClientEntry>, ReadError> {
    by_id(view, keys::CLIENT, client_of)
}

/// A client of the cluster.
pub fn client(view: &dyn View, id: u64) -> Result<Option<ClientEntry>, ReadError> {
    let key = keys::client(id);
    let value = view.get(Table::Members, &key)?;
    value
        .map(|value| client_of(Table::Members, &key, &value))
        .transpose()
}

fn client_of(table: Table, key: &[u8], value: &[u8]) -> Result<ClientEntry, ReadError> {
    let (Client { name }, scope) = decode_grown(table, key, value)?;
    Ok(ClientEntry { name, scope })
}

/// An invitation that nobody has used yet. It is known by a digest of its secret, so that the time
/// that this takes tells nothing of that.
pub fn invitation(view: &dyn View, of: SecretDigest) -> Result<Option<Invitation>, ReadError> {
    let row = load_grown(view, Table::Members, &keys::invitation(of))?;
    Ok(row.map(|((expires, part), scope)| Invitation {
        expires,
        part,
        scope,
    }))
}

type Decode<T> = fn(Table, &[u8], &[u8]) -> Result<T, ReadError>;

fn by_id<T>(view: &dyn View, kind: u8, of: Decode<T>) -> Result<BTreeMap<u64, T>, ReadError> {
    let mut found = BTreeMap::new();
    view.scan(
        Table::Members,
        &KeyRange::prefix(&[kind]),
        &mut |key, value| {
            let id = key[1..].try_into().map(u64::from_be_bytes);
            let id = id.map_err(|_| ReadError::Damaged("the key of a member".to_owned()))?;
            found.insert(id, of(Table::Members, key, value)?);
            Ok(Step::Next)
        },
    )?;
    Ok(found)
}

/// Where a repository stands: in the namespace, or, of one in the trash or on its way in, where
/// it stood or shall stand.
pub fn path_of(view: &dyn View, id: RepoId) -> Result<Option<NamePath>, ReadError> {
    if let Some(repo) = repo(view, id)? {
        return Ok(Some(repo.path));
    }
    for key in [keys::trashed_repo(id), keys::condemned_repo(id)] {
        if let Some(trashed) = load::<TrashedRepo>(view, Table::Trash, &key)? {
            return Ok(Some(trashed.repo.path));
        }
    }
    let import: Option<Import> = load(view, Table::Imports, &keys::import(id))?;
    Ok(import.map(|import| import.path))
}

/// A repository that is not in the trash.
pub fn repo(view: &dyn View, id: RepoId) -> Result<Option<Repo>, ReadError> {
    load(view, Table::Repositories, &keys::repo(id))
}

/// A file of the refs room.
pub fn reference(
    view: &dyn View,
    repo: RepoId,
    name: &RepoPath,
) -> Result<Option<RefEntry>, ReadError> {
    load(view, Table::Refs, &keys::in_repo(repo, name))
}

/// The names in a directory of the refs room. Values may be large, and are left where they are.
pub fn references_in(
    view: &dyn View,
    repo: RepoId,
    dir: &RepoPath,
) -> Result<Listing<()>, ReadError> {
    let beneath = keys::beneath(repo, dir);
    children(view, Table::Refs, &beneath, |_, _, _| Ok(()))
}

/// Whether anything lies in a directory of the refs room: one row says so.
pub fn has_references_in(view: &dyn View, repo: RepoId, dir: &RepoPath) -> Result<bool, ReadError> {
    let mut any = false;
    let beneath = KeyRange::prefix(&keys::beneath(repo, dir));
    view.scan(Table::Refs, &beneath, &mut |_, _| {
        any = true;
        Ok(Step::Stop)
    })?;
    Ok(any)
}

/// A line of the packed table.
pub fn packed_ref(
    view: &dyn View,
    repo: RepoId,
    name: &RepoPath,
) -> Result<Option<PackedRef>, ReadError> {
    load(view, Table::Packed, &keys::in_repo(repo, name))
}

/// Walks the packed table.
pub fn packed(view: &dyn View, repo: RepoId, sink: &mut PackedSink<'_>) -> Result<(), ReadError> {
    view.scan(Table::Packed, &keys::whole_repo(repo), &mut |key, value| {
        let line = decode(Table::Packed, key, value)?;
        let name = &key[keys::ID..];
        if RepoPath::new(name).is_none() {
            return Err(ReadError::Damaged(format!(
                "a name in the packed refs of {repo}"
            )));
        }
        Ok(if sink(name, line) {
            Step::Next
        } else {
            Step::Stop
        })
    })
}

/// A file of the objects room.
pub fn file(
    view: &dyn View,
    repo: RepoId,
    path: &RepoPath,
) -> Result<Option<FileEntry>, ReadError> {
    load(view, Table::Catalog, &keys::in_repo(repo, path))
}

/// The paths of all files of the objects room.
pub(super) fn file_paths(view: &dyn View, repo: RepoId) -> Result<Vec<RepoPath>, ReadError> {
    let mut found = Vec::new();
    view.scan(Table::Catalog, &keys::whole_repo(repo), &mut |key, _| {
        found.push(path_after(key, keys::ID)?);
        Ok(Step::Next)
    })?;
    Ok(found)
}

/// Every file of a repository, as it was added.
pub(super) fn file_adds(view: &dyn View, repo: RepoId) -> Result<Vec<FileAdd>, ReadError> {
    let adds = file_paths(view, repo)?.into_iter().filter_map(|path| {
        let entry = file(view, repo, &path).transpose()?;
        let add = entry.and_then(|entry| {
            let blocks = blocks(view, repo, &path)?;
            Ok(FileAdd {
                path,
                entry,
                blocks,
            })
        });
        Some(add)
    });
    adds.collect()
}

fn path_after(key: &[u8], prefix: usize) -> Result<RepoPath, ReadError> {
    let path = RepoPath::new(&key[prefix..]);
    path.ok_or_else(|| ReadError::Damaged(format!("the path in key {}", key.escape_ascii())))
}

/// The direct children of a directory of the objects room.
pub fn files_in(
    view: &dyn View,
    repo: RepoId,
    dir: &RepoPath,
) -> Result<Listing<FileEntry>, ReadError> {
    children(view, Table::Catalog, &keys::beneath(repo, dir), decode)
}

/// The block digests of a file.
pub fn blocks(
    view: &dyn View,
    repo: RepoId,
    path: &RepoPath,
) -> Result<Vec<BlockDigest>, ReadError> {
    let digests = view
        .get(Table::Blocks, &keys::in_repo(repo, path))?
        .unwrap_or_default();
    let (blocks, rest) = digests.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(ReadError::Damaged(format!(
            "block digests of {path} in {repo}"
        )));
    }
    Ok(blocks.iter().copied().map(BlockDigest).collect())
}

/// An audit trail, oldest first, from a version on.
pub fn audit(
    view: &dyn View,
    trail: Trail,
    since: Version,
    sink: &mut AuditSink<'_>,
) -> Result<(), ReadError> {
    let range = KeyRange {
        from: keys::audit(trail, since, 0),
        ..keys::whole_repo(trail.id())
    };
    view.scan(Table::Audit, &range, &mut |key, value| {
        let record = decode(Table::Audit, key, value)?;
        Ok(if sink(keys::version_of(key)?, record) {
            Step::Next
        } else {
            Step::Stop
        })
    })
}

/// The last record of refs that moved in a repository, if it is still kept.
pub fn last_move(view: &dyn View, repo: RepoId) -> Result<Option<AuditRecord>, ReadError> {
    let trail = Trail::Of(repo);
    let head: Option<Head> = load(view, Table::Audit, &keys::trail(trail))?;
    match head {
        Some(head) => load(view, Table::Audit, &keys::audit(trail, head.moved, 0)),
        None => Ok(None),
    }
}

/// The repositories in the trash.
pub fn trashed_repos(view: &dyn View) -> Result<Vec<TrashedRepo>, ReadError> {
    all(view, Table::Trash, &[keys::TRASHED_REPO])
}

/// The object files of a repository in the trash that were removed after a
/// version, oldest removal first.
pub fn trashed_files(
    view: &dyn View,
    repo: RepoId,
    after: Version,
) -> Result<Vec<TrashedFile>, ReadError> {
    let first = Version(after.0.saturating_add(1));
    let range = KeyRange {
        from: keys::trashed_file(repo, first, &RepoPath::root()),
        ..KeyRange::prefix(&keys::trashed_files(repo))
    };
    all_in(view, Table::Trash, &range)
}

/// The repositories whose trash time is over and whose rows are still there.
pub fn condemned_repos(view: &dyn View) -> Result<Vec<TrashedRepo>, ReadError> {
    all(view, Table::Trash, &[keys::CONDEMNED_REPO])
}

/// The condemned keys of a repository.
pub fn condemned(view: &dyn View, repo: RepoId) -> Result<Vec<CondemnedKey>, ReadError> {
    all(view, Table::Trash, &keys::all_condemned(repo))
}

/// Whether a key of the store is condemned.
pub fn is_condemned(view: &dyn View, repo: RepoId, key: &str) -> Result<bool, ReadError> {
    let row = view.get(Table::Trash, &keys::condemned(repo, key))?;
    Ok(row.is_some())
}

/// The keys under a repository's prefix that other repositories name.
pub fn lent(view: &dyn View, owner: RepoId) -> Result<BTreeSet<String>, ReadError> {
    loans::all_of(view, owner)
}

/// The commit that last forgot condemned keys of a repository; version 0 before the first.
pub fn forgotten(view: &dyn View, repo: RepoId) -> Result<Version, ReadError> {
    Ok(load(view, Table::Trash, &keys::forgotten(repo))?.unwrap_or_default())
}

/// The newest removal of object files that has left the trash for good; version 0 before the
/// first. Superseded ones do not count.
pub fn expired(view: &dyn View, repo: RepoId) -> Result<Version, ReadError> {
    Ok(load(view, Table::Trash, &keys::expired(repo))?.unwrap_or_default())
}

/// The imports, those that are done too.
pub fn imports(view: &dyn View) -> Result<Vec<Import>, ReadError> {
    all(view, Table::Imports, &[keys::IMPORT])
}

/// The files of an import that were read back, and whether every object of them was hashed.
pub fn verified(view: &dyn View, id: RepoId) -> Result<Vec<(RepoPath, bool)>, ReadError> {
    let prefix = keys::all_verified(id);
    let mut found = Vec::new();
    view.scan(
        Table::Imports,
        &KeyRange::prefix(&prefix),
        &mut |key, value| {
            let path = path_after(key, prefix.len())?;
            found.push((path, decode(Table::Imports, key, value)?));
            Ok(Step::Next)
        },
    )?;
    Ok(found)
}

fn all<T: DeserializeOwned>(
    view: &dyn View,
    table: Table,
    prefix: &[u8],
) -> Result<Vec<T>, ReadError> {
    all_in(view, table, &KeyRange::prefix(prefix))
}

fn all_in<T: DeserializeOwned>(
    view: &dyn View,
    table: Table,
    range: &KeyRange,
) -> Result<Vec<T>, ReadError> {
    let mut found = Vec::new();
    view.scan(table, range, &mut |key, value| {
        found.push(decode(table, key, value)?);
        Ok(Step::Next)
    })?;
    Ok(found)
}

/// What stands directly beneath `prefix` (a directory's key with its slash), in
/// byte order of names. Seeks past the inside of each subdirectory.
fn children<T>(
    view: &dyn View,
    table: Table,
    prefix: &[u8],
    read: impl Fn(Table, &[u8], &[u8]) -> Result<T, ReadError>,
) -> Result<Listing<T>, ReadError> {
    let mut found = Vec::new();
    view.scan(table, &KeyRange::prefix(prefix), &mut |key, value| {
        let rest = &key[prefix.len()..];
        let Some(slash) = rest.iter().position(|&byte| byte == b'/') else {
            found.push((rest.to_vec(), Child::File(read(table, key, value)?)));
            return Ok(Step::Next);
        };
        found.push((rest[..slash].to_vec(), Child::Directory));
        Ok(Step::Seek(past_directory(&key[..prefix.len() + slash])))
    })?;
    // The keys of a directory are those of its inside, with a slash: "a-b"
    // comes before "a/x" but after "a".
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

/// The first key after the inside of a directory.
fn past_directory(dir: &[u8]) -> Vec<u8> {
    let mut key = dir.to_vec();
    key.push(b'/' + 1);
    key
}
