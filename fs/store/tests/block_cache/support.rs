//! A store in memory that counts and can misbehave, and objects to put in it.

use bytes::Bytes;
use gitmoor_store::block_cache::{BlockCache, CacheConfig, CacheObject, digest_file};
use gitmoor_store::object_store::{Body, Listed, ObjectStore, Put, StoreError, Upload, Watch};
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The store.
#[derive(Debug, Default)]
pub(crate) struct MemStore {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    objects: HashMap<String, Bytes>,
    gets: Vec<(u64, u64)>,
    /// Bytes at these offsets come wrong in the next so many GETs that hold them.
    wrong: HashMap<u64, u32>,
    down: bool,
    /// GETs wait while this holds.
    held: bool,
}

impl MemStore {
    pub(crate) fn new(key: &str, bytes: &[u8]) -> Arc<Self> {
        let store = Self::default();
        store
            .inner
            .lock()
            .objects
            .insert(key.to_string(), Bytes::copy_from_slice(bytes));
        Arc::new(store)
    }

    /// The ranges asked for since the last call, as (start, end).
    pub(crate) fn take_gets(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.inner.lock().gets)
    }

    pub(crate) fn spoil(&self, offset: u64, times: u32) {
        self.inner.lock().wrong.insert(offset, times);
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.inner.lock().down = down;
    }

    pub(crate) fn hold(&self) {
        self.inner.lock().held = true;
    }

    pub(crate) fn let_go(&self) {
        self.inner.lock().held = false;
        self.changed.notify_all();
    }
}

impl ObjectStore for MemStore {
    fn put(&self, _: &str, _: Body<'_>) -> Result<Put, StoreError> {
        unimplemented!("the cache only reads")
    }

    fn copy(&self, _: &str, _: &str, _: u64, _: &Watch<'_>) -> Result<Put, StoreError> {
        unimplemented!("the cache only reads")
    }

    fn get(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let mut inner = self.inner.lock();
        inner.gets.push((range.start, range.end));
        while inner.held {
            self.changed.wait(&mut inner);
        }
        if inner.down {
            return Err(StoreError::Unavailable {
                store: self.describe(),
                request: format!("GET {key}"),
                attempts: 1,
                elapsed: Duration::ZERO,
                reason: "it is down".to_string(),
            });
        }
        let Some(object) = inner.objects.get(key) else {
            return Err(StoreError::NotFound {
                store: self.describe(),
                key: key.to_string(),
            });
        };
        let mut bytes = object[range.start as usize..range.end as usize].to_vec();
        for (offset, times) in &mut inner.wrong {
            if *times > 0 && range.contains(offset) {
                *times -= 1;
                bytes[(offset - range.start) as usize] ^= 0xff;
            }
        }
        Ok(Bytes::from(bytes))
    }

    fn get_small(&self, _: &str, _: u64) -> Result<Bytes, StoreError> {
        unimplemented!("the cache knows sizes")
    }

    fn delete(&self, _: &[String]) -> Result<(), StoreError> {
        unimplemented!("the cache only reads")
    }

    fn list(&self, _: &str, _: &mut (dyn FnMut(Listed) + Send)) -> Result<(), StoreError> {
        unimplemented!("the cache only reads")
    }

    fn abort(&self, _: &Upload) -> Result<(), StoreError> {
        unimplemented!("the cache only reads")
    }

    fn refuses_overwrite(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        "memory".to_string()
    }
}

/// Bytes without a period that a shifted read would survive.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

pub(crate) fn object(key: &str, bytes: &[u8], block_size: u32) -> CacheObject {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).expect("writes");
    let (digest, blocks) = digest_file(&file, bytes.len() as u64, block_size).expect("digests");
    let (key, size) = (key.to_string(), bytes.len() as u64);
    CacheObject {
        key,
        size,
        digest,
        block_size,
        blocks: blocks.into(),
    }
}

pub(crate) fn config(dir: &Path, max_bytes: u64) -> CacheConfig {
    let read_timeout = Duration::from_secs(60);
    CacheConfig {
        dir: dir.to_path_buf(),
        max_bytes,
        free_floor_bytes: 0,
        read_timeout,
    }
}

pub(crate) fn open(dir: &Path, store: &Arc<MemStore>) -> Arc<BlockCache> {
    BlockCache::open(config(dir, 1 << 30), store.clone()).expect("opens")
}

/// The data files in a cache directory.
pub(crate) fn data_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for sub in fs::read_dir(dir).expect("lists") {
        for file in fs::read_dir(sub.expect("entry").path()).expect("lists") {
            let path = file.expect("entry").path();
            if path.extension().is_some_and(|e| e == "data") {
                all.push(path);
            }
        }
    }
    all
}
