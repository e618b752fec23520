//! The cache as a whole.

use super::cached_file::{CachedFile, Kind};
use super::disk::FileName;
use super::entries::CacheEntries;
use super::error::CacheError;
use super::idx::Tables;
use super::index::Index;
use crate::object_store::ObjectStore;
use crate::wait::Waits;
use gitmoor_model::{BlockDigest, Digest};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Settings of the cache.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// A directory of its own, created when missing; locked by the caller.
    pub dir: PathBuf,
    /// Most bytes of cached blocks on the disk.
    pub max_bytes: u64,
    /// Bytes of the disk that stay free: below that the cache shrinks, and what
    /// still does not fit is served without being kept.
    pub free_floor_bytes: u64,
    /// How long a read goes on trying while the store is unavailable.
    pub read_timeout: Duration,
}

/// An immutable object of the store, as the catalog describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CacheObject {
    /// Its key in the store.
    pub key: String,
    /// Size of the object in bytes.
    pub size: u64,
    /// BLAKE3 of all of it.
    pub digest: Digest,
    /// Size of a block in bytes; the last may be shorter.
    pub block_size: u32,
    /// One digest per block; empty when all is one block, which `digest` proves.
    pub blocks: Arc<[BlockDigest]>,
}

impl CacheObject {
    /// How many block digests there must be.
    fn expected_digests(&self) -> u64 {
        match self.size.div_ceil(u64::from(self.block_size.max(1))) {
            0 | 1 => 0,
            blocks => blocks,
        }
    }

    fn check(&self) -> Result<(), CacheError> {
        let (expected, actual) = (self.expected_digests(), self.blocks.len() as u64);
        if expected == actual && self.block_size > 0 {
            return Ok(());
        }
        Err(CacheError::BadObject {
            key: self.key.clone(),
            expected,
            actual,
        })
    }
}

/// Keeps blocks of stored objects on the disk, and fetches those that are missing.
pub struct BlockCache {
    pub(super) config: CacheConfig,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) entries: Arc<CacheEntries>,
    pub(super) index: Index,
    pub(super) waits: Waits,
}

impl BlockCache {
    /// Opens the cache with what an earlier life left in its directory.
    pub fn open(config: CacheConfig, store: Arc<dyn ObjectStore>) -> Result<Arc<Self>, CacheError> {
        let opening = CacheError::local("opening the cache in", &config.dir);
        let (entries, found) = CacheEntries::open(&config.dir).map_err(opening)?;
        let entries = Arc::new(entries);
        let index = Index::new(config.max_bytes, entries.clone());
        for entry in found {
            index.record(&entry, 0..entry.layout.segments());
        }
        Ok(Arc::new(Self {
            config,
            store,
            entries,
            index,
            waits: Waits::default(),
        }))
    }

    /// Opens an object for reading. While anyone holds it there is one
    /// [`CachedFile`] per key.
    pub fn file(self: &Arc<Self>, object: CacheObject) -> Result<Arc<CachedFile>, CacheError> {
        self.open_file(object, Kind::Data)
    }

    /// The same of a pack index: a read that misses brings along the table around it.
    pub fn pack_index(
        self: &Arc<Self>,
        object: CacheObject,
        tables: Tables,
    ) -> Result<Arc<CachedFile>, CacheError> {
        self.open_file(object, Kind::PackIndex(tables))
    }

    /// The same of another index: after some misses the rest of it comes along.
    pub fn index(self: &Arc<Self>, object: CacheObject) -> Result<Arc<CachedFile>, CacheError> {
        self.open_file(object, Kind::Index)
    }

    fn open_file(
        self: &Arc<Self>,
        object: CacheObject,
        kind: Kind,
    ) -> Result<Arc<CachedFile>, CacheError> {
        object.check()?;
        let make = |entry, data| CachedFile::new(self.clone(), object.clone(), entry, data, kind);
        let opening = CacheError::local("opening in the cache", Path::new(&object.key));
        self.entries.open_file(&object, make).map_err(opening)
    }

    /// Takes a complete file of this machine into the cache (by rename, where that is
    /// possible); afterwards `path` is gone. The caller computed the object's
    /// digests from these bytes, and nobody writes the file any more.
    pub fn adopt(&self, object: &CacheObject, path: &Path) -> Result<(), CacheError> {
        object.check()?;
        let adopting = CacheError::local("taking into the cache", path);
        if let Some(entry) = self.entries.adopt(object, path).map_err(adopting)? {
            self.index.record(&entry, 0..entry.layout.segments());
        }
        Ok(())
    }

    /// Drops an object: at once, or when its last holder lets go.
    pub fn forget(&self, key: &str) {
        if let Some(entry) = self.entries.forget(FileName::of(key)) {
            self.index.forget(&entry);
        }
    }

    /// Bytes of cached blocks on the disk.
    pub fn used_bytes(&self) -> u64 {
        self.index.used_bytes()
    }

    /// The reads that wait for the store right now, as sentences, oldest first.
    pub fn waits(&self) -> Vec<String> {
        self.waits.sentences(&self.store.describe())
    }

    /// Gives way to others who write to the disk: shrinks until the floor is free again.
    pub fn keep_floor(&self) {
        self.has_room(0);
    }

    /// Whether `bytes` more may be written to the disk, after making room.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let needed = self.config.free_floor_bytes.saturating_add(bytes);
        let missing = |available: u64| needed.saturating_sub(available);
        let Ok(available) = self.entries.disk.available() else {
            return false;
        };
        if missing(available) == 0 {
            return true;
        }
        self.index.shrink(missing(available));
        self.entries
            .disk
            .available()
            .is_ok_and(|available| missing(available) == 0)
    }
}

impl fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockCache")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
