//! What must become durable together, in RocksDB.

use super::{Database, Stage, WriteError};
use crate::state::{KeyRange, Table};
use rocksdb::WriteBatch;

/// RocksDB wants an end to a range. No key is above this: components of paths
/// have at most 255 bytes and the slash between them is below 0xff.
const BEYOND: &[u8] = &[0xff; 512];

/// Writes to be made at once, in order.
pub struct Batch<'d> {
    database: &'d Database,
    inner: WriteBatch,
}

impl<'d> Batch<'d> {
    /// Nothing yet.
    pub fn new(database: &'d Database) -> Self {
        Self {
            database,
            inner: WriteBatch::default(),
        }
    }

    pub(super) fn into_inner(self) -> WriteBatch {
        self.inner
    }
}

impl Stage for Batch<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.inner.put_cf(self.database.family(table), key, value);
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        self.inner.delete_cf(self.database.family(table), key);
    }

    fn clear(&mut self, table: Table, range: &KeyRange) {
        let end = range.to.clone().unwrap_or_else(|| BEYOND.to_vec());
        self.inner
            .delete_range_cf(self.database.family(table), range.from.clone(), end);
    }

    fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    fn write(self: Box<Self>, sync: bool) -> Result<(), WriteError> {
        let database = self.database;
        let written = database.write(*self, sync);
        written.map_err(|error| WriteError(error.into_string()))
    }
}
