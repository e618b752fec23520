//! What the store holds of a repository and nobody names: a crash came between a
//! PUT and its commit, or an upload in parts was never ended.

use super::is_older;
use crate::store::{Listed, Upload};
use crate::{FileSystem, FsError};
use gitmoor_replicator::model::{RepoId, RepoPath, Version};
use std::collections::{HashMap, HashSet};

/// Objects and uploads without an owner, old enough to be no publication under way.
#[derive(Default)]
pub(super) struct Leftovers {
    /// Their sizes by their keys.
    pub(super) objects: HashMap<String, u64>,
    pub(super) uploads: Vec<Upload>,
}

impl FileSystem {
    pub(super) fn leftovers(&self, repo: RepoId) -> Result<Leftovers, FsError> {
        let grace = self.shared.config.gc_grace;
        let mut found = Leftovers::default();
        self.shared
            .store
            .list(&format!("{repo}/"), &mut |listed| match listed {
                Listed::Object {
                    key,
                    size,
                    modified,
                } if is_older(modified, grace) => drop(found.objects.insert(key, size)),
                Listed::Upload(upload) if is_older(upload.begun, grace) => {
                    found.uploads.push(upload);
                }
                Listed::Object { .. } | Listed::Upload(_) => {}
            })?;
        // After the listing: whatever is named by now is none.
        for key in self.named_keys(repo)? {
            found.objects.remove(&key);
        }
        let staged = self.staged_keys(repo)?;
        let is_staged = |key: &str| staged.iter().any(|staged| key.starts_with(staged));
        found.objects.retain(|key, _| !is_staged(key));
        found.uploads.retain(|upload| !is_staged(&upload.key));
        Ok(found)
    }

    /// Every key that the catalog, the trash or a condemnation names.
    fn named_keys(&self, repo: RepoId) -> Result<HashSet<String>, FsError> {
        let mut named = self.catalogued_keys(repo)?;
        let trashed = self
            .shared
            .replica
            .trashed_files(repo, Version::default())?;
        named.extend(
            trashed
                .iter()
                .filter_map(|file| file.entry.key())
                .map(str::to_owned),
        );
        let condemned = self.shared.replica.condemned(repo)?.into_iter();
        named.extend(condemned.map(|condemned| condemned.key));
        Ok(named)
    }

    pub(super) fn catalogued_keys(&self, repo: RepoId) -> Result<HashSet<String>, FsError> {
        let files = self.files_below(repo, &RepoPath::root())?;
        let keys = files.iter().filter_map(|(_, entry)| entry.key());
        Ok(keys.map(str::to_owned).collect())
    }

    /// What the keys of finished files begin with that are still to be catalogued.
    fn staged_keys(&self, repo: RepoId) -> Result<Vec<String>, FsError> {
        let staged = self.repositories.get(repo)?.objects().pending_paths();
        Ok(staged.iter().map(|path| format!("{repo}/{path}")).collect())
    }
}
