//! What must become durable together.

use super::Database;
use crate::state::{Changes, KeyRange, Table};
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

    /// Writes a row.
    pub fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.inner.put_cf(self.database.family(table), key, value);
    }

    /// Deletes a row.
    pub fn delete(&mut self, table: Table, key: &[u8]) {
        self.inner.delete_cf(self.database.family(table), key);
    }

    /// Deletes the rows of a range.
    pub fn clear(&mut self, table: Table, range: &KeyRange) {
        let end = range.to.clone().unwrap_or_else(|| BEYOND.to_vec());
        self.inner
            .delete_range_cf(self.database.family(table), range.from.clone(), end);
    }

    /// Makes the changes of an overlay.
    pub fn change(&mut self, changes: &Changes) {
        for (table, changes) in changes.tables() {
            changes
                .cleared
                .iter()
                .for_each(|range| self.clear(table, range));
            for (key, value) in &changes.rows {
                match value {
                    Some(value) => self.put(table, key, value),
                    None => self.delete(table, key),
                }
            }
        }
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    pub(super) fn into_inner(self) -> WriteBatch {
        self.inner
    }
}
