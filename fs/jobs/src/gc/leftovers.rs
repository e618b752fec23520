//! What the store holds of a repository and nobody names: a crash came between a
//! PUT and its commit, or an upload in parts was never ended.

use crate::age::is_older;
use gitmoor_fs::{FileSystem, FsError, catalog};
use gitmoor_model::RepoId;
use gitmoor_store::object_store::{Listed, Upload};
use std::collections::HashMap;

/// Objects and uploads without an owner, old enough to be no publication under way.
#[derive(Default)]
pub(super) struct Leftovers {
    /// Their sizes by their keys.
    pub(super) objects: HashMap<String, u64>,
    pub(super) uploads: Vec<Upload>,
}

/// Lists what lies under the prefix of a repository.
pub(super) fn leftovers(fs: &FileSystem, repo: RepoId) -> Result<Leftovers, FsError> {
    let grace = fs.config().gc_grace;
    let mut found = Leftovers::default();
    fs.store()
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
    for key in catalog::named_keys(fs.replica(), repo)? {
        found.objects.remove(&key);
    }
    let staged = staged_keys(fs, repo)?;
    let is_staged = |key: &str| staged.iter().any(|staged| key.starts_with(staged));
    found.objects.retain(|key, _| !is_staged(key));
    found.uploads.retain(|upload| !is_staged(&upload.key));
    Ok(found)
}

/// What the keys of finished files begin with that are still to be catalogued.
fn staged_keys(fs: &FileSystem, repo: RepoId) -> Result<Vec<String>, FsError> {
    let staged = fs.repository(repo)?.objects().pending_paths();
    Ok(staged.iter().map(|path| format!("{repo}/{path}")).collect())
}
