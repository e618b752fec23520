//! Refs: the files of the refs room, and the packed table. Beside them lie the files of hosts.

use super::{Listing, children};
use crate::model::{PackedRef, RefEntry, RepoId, RepoPath, host_file};
use crate::state::view::{KeyRange, Step, View, decode, decode_first, load};
use crate::state::{ReadError, Table, keys};

/// With which git begins a symbolic ref.
const SYMBOLIC: &[u8] = b"ref:";

/// Receives the packed table in ascending byte order of names; returns whether
/// to go on.
pub type PackedSink<'a> = dyn FnMut(&[u8], PackedRef) -> bool + 'a;

/// A file of the refs room, or of a host.
pub fn reference(
    view: &dyn View,
    repo: RepoId,
    name: &RepoPath,
) -> Result<Option<RefEntry>, ReadError> {
    load(view, Table::Refs, &keys::in_repo(repo, name))
}

/// The names in a directory of the refs room, with `st_mode`. Values may be large, and are left where they are.
pub fn references_in(
    view: &dyn View,
    repo: RepoId,
    dir: &RepoPath,
) -> Result<Listing<u32>, ReadError> {
    let beneath = keys::beneath(repo, dir);
    children(view, Table::Refs, &beneath, decode_first)
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

/// Everything beneath `refs/` that stands for another name: symbolic refs, and symbolic links. Those in reftables are
/// not among them.
pub fn symbolic_references(
    view: &dyn View,
    repo: RepoId,
) -> Result<Vec<(RepoPath, RefEntry)>, ReadError> {
    let mut found = Vec::new();
    let refs = RepoPath::new("refs").expect("a valid path");
    let beneath = KeyRange::prefix(&keys::beneath(repo, &refs));
    view.scan(Table::Refs, &beneath, &mut |key, value| {
        let entry: RefEntry = decode(Table::Refs, key, value)?;
        if entry.is_link() || entry.value.starts_with(SYMBOLIC) {
            let path = RepoPath::new(&key[keys::ID..]);
            found.extend(path.map(|path| (path, entry)));
        }
        Ok(Step::Next)
    })?;
    Ok(found)
}

/// The files of hosts in a repository.
pub fn host_files(view: &dyn View, repo: RepoId) -> Result<Vec<(RepoPath, RefEntry)>, ReadError> {
    let mut files = Vec::new();
    let row = super::repo(view, repo)?;
    let added = row.iter().flat_map(host_file::added_by);
    for path in host_file::named().chain(added) {
        let entry = reference(view, repo, &path)?;
        files.extend(entry.map(|entry| (path, entry)));
    }
    let branches = RepoPath::new(host_file::BRANCHES).expect("a valid path");
    let beneath = KeyRange::prefix(&keys::beneath(repo, &branches));
    view.scan(Table::Refs, &beneath, &mut |key, value| {
        let path = RepoPath::new(&key[keys::ID..]);
        let entry = decode(Table::Refs, key, value)?;
        files.extend(path.map(|path| (path, entry)));
        Ok(Step::Next)
    })?;
    Ok(files)
}

/// A file of a host that was removed, as it was; `None` when another one stands there since.
pub fn removed_host_file(
    view: &dyn View,
    repo: RepoId,
    path: &RepoPath,
) -> Result<Option<RefEntry>, ReadError> {
    load(view, Table::Trash, &keys::removed_host_file(repo, path))
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
