//! What must become durable together, in RocksDB.

use super::database::{SIDE_KEY, Side};
use super::open::{FORMAT_KEY, SIDED};
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
    /// Where the state is.
    side: Side,
    /// Where it will be, if that changes.
    swapped: Option<Side>,
}

impl<'d> Batch<'d> {
    /// A batch without writes.
    pub fn new(database: &'d Database) -> Self {
        Self {
            database,
            inner: WriteBatch::default(),
            side: database.side(),
            swapped: None,
        }
    }

    /// The writes, and where the state is after them if it was elsewhere before.
    pub(super) fn into_inner(self) -> (WriteBatch, Option<Side>) {
        (self.inner, self.swapped)
    }

    fn clear_in(&mut self, side: Side, table: Table, range: &KeyRange) {
        let end = range.to.clone().unwrap_or_else(|| BEYOND.to_vec());
        let family = self.database.family(side, table);
        self.inner.delete_range_cf(family, range.from.clone(), end);
    }

    fn clear_side(&mut self, side: Side) {
        for table in Table::STATE {
            self.clear_in(side, table, &KeyRange::all());
        }
    }
}

impl Stage for Batch<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        let family = self.database.family(self.side, table);
        self.inner.put_cf(family, key, value);
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        let family = self.database.family(self.side, table);
        self.inner.delete_cf(family, key);
    }

    fn clear(&mut self, table: Table, range: &KeyRange) {
        self.clear_in(self.side, table, range);
    }

    fn put_beside(&mut self, table: Table, key: &[u8], value: &[u8]) {
        let family = self.database.family(self.side.other(), table);
        self.inner.put_cf(family, key, value);
    }

    fn clear_beside(&mut self) {
        self.clear_side(self.side.other());
    }

    fn swap(&mut self) {
        self.clear_side(self.side);
        self.side = self.side.other();
        self.swapped = Some(self.side);
        self.put(Table::RaftState, SIDE_KEY, &[self.side as u8]);
        // A version that knows of one side alone must not take this for the whole.
        self.put(Table::RaftState, FORMAT_KEY, &SIDED.to_be_bytes());
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
