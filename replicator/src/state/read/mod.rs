//! What the file system and the nodes ask of the state: functions over any [`View`], a file for each kind of row.

mod access;
mod audit;
mod catalog;
mod cluster;
mod hooks;
mod imports;
mod inner;
mod namespace;
mod refs;
mod trash;

pub use access::{Grant, grant, grants, groups, role, token, tokens, user, users};
pub(super) use access::{grants_of_directory, grants_of_repo};
pub use audit::{AuditSink, audit, last_move};
pub use catalog::{blocks, file, files_in};
pub(super) use catalog::{file_adds, file_paths};
pub(crate) use cluster::invitation;
pub use cluster::{claims, client, clients, cluster, is_removed, members, store};
pub use hooks::{
    MachineHooksRow, accepted_hooks, differing_hooks, hooks_directory, hooks_elsewhere,
    machine_hook_files, machine_hooks, machines_with_hooks, own_hooks, own_hooks_everywhere,
};
pub use imports::{imports, verified};
pub(crate) use inner::outermost;
pub use inner::{Quota, has_modules_in, inner, inside, module, modules_in, owners, quotas, usage};
pub(super) use inner::{is_around, quotas_of};
pub use namespace::{contents, name, names_in, path_of, repo};
pub use refs::{
    PackedSink, has_references_in, host_files, packed, packed_ref, reference, references_in,
    removed_host_file, symbolic_references,
};
pub use trash::{
    expired, expired_repos, has_tombstone, shared_keys, tombstones, tombstones_as_of,
    trashed_files, trashed_repos,
};

use super::view::{KeyRange, Step, View, decode};
use super::{ReadError, Table};
use crate::model::RepoPath;
use serde::de::DeserializeOwned;

/// A name in a directory listing of the refs room or the catalog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Child<T> {
    /// A file, with what is read of it.
    File(T),
    /// A directory, which exists because something lies beneath it.
    Directory,
}

/// The direct children of a directory, in byte order of their names.
pub type Listing<T> = Vec<(Vec<u8>, Child<T>)>;

fn path_after(key: &[u8], prefix: usize) -> Result<RepoPath, ReadError> {
    let path = RepoPath::new(&key[prefix..]);
    path.ok_or_else(|| ReadError::Damaged(format!("the path in key {}", key.escape_ascii())))
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
