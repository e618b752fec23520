//! A store to which nothing is written: keys that may only read suffice for it.

use super::{Body, Listed, ObjectStore, Put, StoreError, Upload, Watch};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// Reads from another, and refuses every change by name.
#[derive(Debug)]
pub(super) struct ReadOnly(pub(super) Arc<dyn ObjectStore>);

impl ReadOnly {
    fn refuse<T>(&self, kind: &str, key: &str) -> Result<T, StoreError> {
        Err(StoreError::ReadOnly {
            store: self.describe(),
            request: format!("{kind} {key}"),
        })
    }
}

impl ObjectStore for ReadOnly {
    fn put(&self, key: &str, _: Body<'_>) -> Result<Put, StoreError> {
        self.refuse("PUT", key)
    }

    fn copy(&self, _: &str, to: &str, _: u64, _: &Watch<'_>) -> Result<Put, StoreError> {
        self.refuse("COPY", to)
    }

    fn get(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.0.get(key, range)
    }

    fn get_small(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        self.0.get_small(key, limit)
    }

    fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        match keys.first() {
            Some(key) => self.refuse("DELETE", key),
            None => Ok(()),
        }
    }

    fn list(&self, prefix: &str, sink: &mut (dyn FnMut(Listed) + Send)) -> Result<(), StoreError> {
        self.0.list(prefix, sink)
    }

    fn abort(&self, upload: &Upload) -> Result<(), StoreError> {
        self.refuse("ABORT", &upload.key)
    }

    /// Nothing is ever put.
    fn refuses_overwrite(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}
