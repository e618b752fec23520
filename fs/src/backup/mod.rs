//! Backups: what the replicator holds, as objects of the store, beside what it speaks of.
//!
//! `gitmoor-backup/<time>-<version>`: the bytes of [`gitmoor_replicator::Custody::backup`], named
//! so that the newest has the last name. With one of them and the store a cluster can be begun anew when
//! every disk of the old one is gone; [`unknown`] then says what the store holds that it does not know.
//!
//! Every mount looks now and then whether the newest is old; the first one to find that makes
//! another, and removes those that are too many.

mod background;
mod unknown;

pub(crate) use background::start;
pub use unknown::{Unknown, unknown};

use crate::store::{Body, Listed, ObjectStore, StoreError};
use crate::{FileSystem, FsError};
use bytes::Bytes;
use gitmoor_replicator::model::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// What the keys of backups begin with.
const PREFIX: &str = "gitmoor-backup/";

/// A backup in the store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BackupInfo {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub bytes: u64,
    /// When it was stored, seconds since 1970 by the store's clock.
    pub stored: i64,
}

/// The backups in a store, the newest last.
pub fn list(store: &dyn ObjectStore) -> Result<Vec<BackupInfo>, StoreError> {
    let mut found = Vec::new();
    store.list(PREFIX, &mut |listed| match listed {
        Listed::Object {
            key,
            size,
            modified,
        } => found.push(BackupInfo {
            key,
            bytes: size,
            stored: Timestamp::from(modified).secs,
        }),
        // One that was never completed is none.
        Listed::Upload(_) => {}
    })?;
    found.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(found)
}

/// The bytes of one that was listed.
pub fn read(store: &dyn ObjectStore, backup: &BackupInfo) -> Result<Bytes, StoreError> {
    match backup.bytes {
        // No range of nothing can be asked for; that it is damaged is seen later.
        0 => Ok(Bytes::new()),
        bytes => store.get(&backup.key, 0..bytes),
    }
}

impl FileSystem {
    /// The backups in the store, the newest last.
    pub fn backups(&self) -> Result<Vec<BackupInfo>, FsError> {
        Ok(list(&*self.shared.store)?)
    }

    /// Makes one of everything that is acknowledged by now, and removes the oldest of those that
    /// are too many.
    pub fn back_up(&self) -> Result<BackupInfo, FsError> {
        self.shared.check_owner("a backup")?;
        self.shared.fresh.refresh()?;
        let (version, backup) = self.shared.replica.backup()?;
        let now = SystemTime::now();
        let key = format!("{PREFIX}{}-{:020}", time(now), version.0);
        let bytes = backup.len() as u64;
        let store = &self.shared.store;
        // If it exists already, it is this one: it was made in this second, of this version.
        store.put(&key, Body::Bytes(backup.into()))?;
        self.remove_old_backups()?;
        let stored = Timestamp::from(now).secs;
        tracing::info!(key, bytes, "made a backup");
        Ok(BackupInfo { key, bytes, stored })
    }

    fn remove_old_backups(&self) -> Result<(), FsError> {
        let all = self.backups()?;
        let keep = self.shared.config.backup_keep;
        let old = all.iter().rev().skip(keep).map(|backup| backup.key.clone());
        let old: Vec<_> = old.collect();
        match old.is_empty() {
            true => Ok(()),
            false => Ok(self.shared.store.delete(&old)?),
        }
    }
}

/// Of the day and the second, in UTC: `20261121T184540Z`.
fn time(time: SystemTime) -> String {
    let mut text = humantime::format_rfc3339_seconds(time).to_string();
    text.retain(|c| !matches!(c, '-' | ':'));
    text
}
