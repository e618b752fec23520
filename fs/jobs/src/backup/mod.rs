//! Backups: what the replicator holds, as objects of the store, beside what it speaks of.
//!
//! `gitmoor-backup/<time>-<version>`: the bytes of [`gitmoor_replicator::Replica::backup`], named
//! so that the newest has the last name. With one of them and the store a cluster can be begun anew when
//! every disk of the old one is gone; [`unknown`] then says what the store holds that it does not know.
//!
//! Every mount looks now and then whether the newest is old; the first one to find that makes
//! another, and removes those that are too many.

mod background;
mod unknown;

pub(crate) use background::start;
pub use unknown::{Unknown, unknown};

use bytes::Bytes;
use gitmoor_fs::{FileSystem, FsError};
use gitmoor_model::Timestamp;
use gitmoor_store::object_store::{Body, Listed, ObjectStore, StoreError};
use serde::{Deserialize, Serialize};
use std::io::{self, Read};
use std::sync::Arc;
use std::time::SystemTime;

/// What the keys of backups begin with.
const PREFIX: &str = "gitmoor-backup/";
/// Bytes that are read from the store at once.
const PIECE: u64 = 8 << 20;

/// A backup in the store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BackupInfo {
    /// Key of the backup in the store.
    pub key: String,
    /// Size of the backup in bytes.
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

/// The bytes of one that was listed, read from the store a piece at a time.
pub struct Stored<'s> {
    store: &'s dyn ObjectStore,
    backup: &'s BackupInfo,
    at: u64,
    piece: Bytes,
}

impl<'s> Stored<'s> {
    /// Reads a backup from its first byte.
    pub fn new(store: &'s dyn ObjectStore, backup: &'s BackupInfo) -> Self {
        Self {
            store,
            backup,
            at: 0,
            piece: Bytes::new(),
        }
    }
}

impl Read for Stored<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.backup.bytes.min(self.at + PIECE);
        if self.piece.is_empty() && self.at < end {
            let piece = self.store.get(&self.backup.key, self.at..end);
            self.piece = piece.map_err(io::Error::other)?;
            self.at = end;
        }
        let read = self.piece.len().min(buffer.len());
        buffer[..read].copy_from_slice(&self.piece.split_to(read));
        Ok(read)
    }
}

/// Stores backups of the replicator's state.
pub struct Backups {
    fs: Arc<FileSystem>,
}

impl Backups {
    /// Of what the replicator of this file system holds, in its store.
    pub(crate) fn new(fs: Arc<FileSystem>) -> Self {
        Self { fs }
    }

    /// The backups in the store, the newest last.
    pub fn list(&self) -> Result<Vec<BackupInfo>, FsError> {
        Ok(list(self.fs.store())?)
    }

    /// Makes one of everything that is acknowledged by now, and removes the oldest of those that
    /// are too many.
    pub fn back_up(&self) -> Result<BackupInfo, FsError> {
        self.fs.check_owner("a backup")?;
        self.fs.sync_reads()?;
        // On the disk first: it may be larger than memory, and the store wants to know its size. Nobody else sees the
        // file, which has no name.
        let mut file = tempfile::tempfile_in(&self.fs.config().data)?;
        let version = self.fs.replica().backup(&mut file)?;
        let now = SystemTime::now();
        let key = format!("{PREFIX}{}-{:020}", time(now), version.0);
        let bytes = file.metadata()?.len();
        let (store, file) = (self.fs.store(), &file);
        // If it exists already, it is this one: it was made in this second, of this version.
        store.put(&key, Body::File { file, len: bytes })?;
        self.remove_old_backups()?;
        let stored = Timestamp::from(now).secs;
        tracing::info!(key, bytes, "made a backup");
        Ok(BackupInfo { key, bytes, stored })
    }

    fn remove_old_backups(&self) -> Result<(), FsError> {
        let all = self.list()?;
        let keep = self.fs.config().backup_keep;
        let old = all.iter().rev().skip(keep).map(|backup| backup.key.clone());
        let old: Vec<_> = old.collect();
        match old.is_empty() {
            true => Ok(()),
            false => Ok(self.fs.store().delete(&old)?),
        }
    }
}

/// Of the day and the second, in UTC: `20261121T184540Z`.
fn time(time: SystemTime) -> String {
    let mut text = humantime::format_rfc3339_seconds(time).to_string();
    text.retain(|c| !matches!(c, '-' | ':'));
    text
}
