//! The catalog as a whole: for those who compare it with the store.

use crate::error::FsResult;
use gitmoor_model::{FileEntry, RepoId, RepoPath, Version};
use gitmoor_replicator::{Child, Replica, read};
use std::collections::HashSet;

/// Every catalogued file of a repository, with its path.
pub fn files(replica: &dyn Replica, id: RepoId) -> FsResult<Vec<(RepoPath, FileEntry)>> {
    let mut files = Vec::new();
    let mut directories = vec![RepoPath::root()];
    while let Some(dir) = directories.pop() {
        for (name, child) in read::files_in(replica.view(), id, &dir)? {
            match (dir.join(&name), child) {
                (Some(path), Child::File(entry)) => files.push((path, entry)),
                (Some(path), Child::Directory) => directories.push(path),
                (None, _) => {}
            }
        }
    }
    Ok(files)
}

/// The keys of these files.
pub fn keys(replica: &dyn Replica, id: RepoId) -> FsResult<HashSet<String>> {
    let files = files(replica, id)?;
    let keys = files.iter().filter_map(|(_, entry)| entry.key());
    Ok(keys.map(str::to_owned).collect())
}

/// Every key that the catalog, the trash or a tombstone names, and those under the repository's prefix that
/// its forks name.
pub fn named_keys(replica: &dyn Replica, id: RepoId) -> FsResult<HashSet<String>> {
    let mut named = keys(replica, id)?;
    let trashed = read::trashed_files(replica.view(), id, Version::default())?;
    let trashed = trashed.iter().filter_map(|file| file.entry.key());
    named.extend(trashed.map(str::to_owned));
    let tombstones = read::tombstones(replica.view(), id)?.into_iter();
    named.extend(tombstones.map(|tombstone| tombstone.key));
    named.extend(read::shared_keys(replica.view(), id)?);
    Ok(named)
}
