//! The store as the file system has it: nothing is stored there or deleted but by its owner.

use super::{LOOK, Ownership};
use bytes::Bytes;
use gitmoor_store::object_store::{
    Body, Listed, ObjectStore, Offline, PROBES, Put, StoreError, Upload, Watch,
};
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

/// Keys that are deleted after one look: as many as one request to S3 takes.
const BATCH: usize = 1000;

#[derive(Debug)]
pub(crate) struct Owned {
    store: Arc<dyn ObjectStore>,
    ownership: Arc<Ownership>,
}

impl Owned {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, ownership: Arc<Ownership>) -> Self {
        Self { store, ownership }
    }

    /// Whether something may be stored under a key.
    fn check_put(&self, kind: &str, key: &str) -> Result<(), StoreError> {
        match is_probe(key) {
            true => Ok(()),
            false => self.ownership.check_within(LOOK, &format!("{kind} {key}")),
        }
    }

    /// Whether something may be deleted.
    fn check_deletion(&self, kind: &str, keys: &[String]) -> Result<(), StoreError> {
        match keys.iter().find(|key| !is_probe(key)) {
            None => Ok(()),
            Some(key) => self.ownership.check_deletion(&format!("{kind} {key}")),
        }
    }
}

/// Probes have names that are made up on the spot, and nobody else knows them.
fn is_probe(key: &str) -> bool {
    key.starts_with(PROBES)
}

impl ObjectStore for Owned {
    fn put(&self, key: &str, body: Body<'_>) -> Result<Put, StoreError> {
        self.check_put("PUT", key)?;
        self.store.put(key, body)
    }

    fn put_resuming(
        &self,
        key: &str,
        file: &File,
        len: u64,
        watch: &Watch<'_>,
    ) -> Result<Put, StoreError> {
        self.check_put("PUT", key)?;
        self.store.put_resuming(key, file, len, watch)
    }

    fn copy(&self, from: &str, to: &str, len: u64, watch: &Watch<'_>) -> Result<Put, StoreError> {
        self.check_put("COPY", to)?;
        self.store.copy(from, to, len, watch)
    }

    fn get(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.store.get(key, range)
    }

    fn get_small(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        self.store.get_small(key, limit)
    }

    fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        keys.chunks(BATCH).try_for_each(|keys| {
            self.check_deletion("DELETE", keys)?;
            self.store.delete(keys)
        })
    }

    fn list(&self, prefix: &str, sink: &mut (dyn FnMut(Listed) + Send)) -> Result<(), StoreError> {
        self.store.list(prefix, sink)
    }

    fn abort(&self, upload: &Upload) -> Result<(), StoreError> {
        self.check_deletion("ABORT", std::slice::from_ref(&upload.key))?;
        self.store.abort(upload)
    }

    fn refuses_overwrite(&self) -> bool {
        self.store.refuses_overwrite()
    }

    fn describe(&self) -> String {
        self.store.describe()
    }

    fn offline(&self) -> Option<&Offline> {
        self.store.offline()
    }
}
