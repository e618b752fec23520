//! What a store holds that a restored state does not know: what was stored since the backup, and the
//! little that a crash may have left there before it.

use gitmoor_fs::{FsError, catalog};
use gitmoor_model::RepoId;
use gitmoor_replicator::state::TrashedRepo;
use gitmoor_replicator::{Replica, read};
use gitmoor_store::object_store::{Listed, ObjectStore};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Objects of one repository that the restored state does not know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unknown {
    /// The repository's permanent name.
    pub repository: String,
    /// Its path; `None` when the whole repository is unknown.
    pub path: Option<String>,
    /// Bytes of these objects together.
    pub bytes: u64,
    /// The keys, in order.
    pub keys: Vec<String>,
}

/// Lists the whole store.
pub fn unknown(replica: &dyn Replica, store: &dyn ObjectStore) -> Result<Vec<Unknown>, FsError> {
    let mut stored: BTreeMap<RepoId, BTreeMap<String, u64>> = BTreeMap::new();
    store.list("", &mut |listed| {
        if let Listed::Object { key, size, .. } = listed
            && let Some(id) = key.split('/').next().and_then(|id| id.parse().ok())
        {
            stored.entry(id).or_default().insert(key, size);
        }
    })?;
    let trashed = read::trashed_repos(replica.view())?;
    let mut found = Vec::new();
    for (id, mut keys) in stored {
        for key in catalog::named_keys(replica, id)? {
            keys.remove(&key);
        }
        if keys.is_empty() {
            continue;
        }
        found.push(Unknown {
            repository: id.to_string(),
            path: path(replica, &trashed, id)?,
            bytes: keys.values().sum(),
            keys: keys.into_keys().collect(),
        });
    }
    Ok(found)
}

fn path(
    replica: &dyn Replica,
    trashed: &[TrashedRepo],
    id: RepoId,
) -> Result<Option<String>, FsError> {
    let trashed = || trashed.iter().find(|trashed| trashed.repo.id == id);
    let live = read::repo(replica.view(), id)?.map(|repo| repo.path);
    let path = live.or_else(|| trashed().map(|trashed| trashed.repo.path.clone()));
    Ok(path.map(|path| path.to_string()))
}
