//! What holds the rows and makes them durable, as the log and the engine see it:
//! [`super::Database`], or a simulated disk that a test can crash.
//!
//! The promise is that of a write-ahead log: a batch is there whole or not at all,
//! and batches are lost from the end only. So a batch that was written with sync
//! keeps all batches before it.

use crate::state::{Changes, KeyRange, Table, View};

/// Rows that can be read from any thread, and written by one.
pub trait Disk: View + Send + Sync {
    /// Nothing to write yet.
    fn stage(&self) -> Box<dyn Stage + '_>;

    /// A view that stays as it is now, whatever is written.
    fn frozen(&self) -> Box<dyn View + '_>;
}

/// Writes to be made at once, in order.
pub trait Stage {
    /// Writes a row.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]);

    /// Deletes a row.
    fn delete(&mut self, table: Table, key: &[u8]);

    /// Deletes the rows of a range.
    fn clear(&mut self, table: Table, range: &KeyRange);

    /// Whether there is nothing to write.
    fn is_empty(&self) -> bool;

    /// Writes it all. With `sync` it survives a power failure, and so does every
    /// batch before it; without, it may be lost together with all that came after.
    fn write(self: Box<Self>, sync: bool) -> Result<(), WriteError>;

    /// Makes the changes of an overlay.
    fn change(&mut self, changes: &Changes) {
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
}

/// A batch was not written.
#[derive(Debug, thiserror::Error)]
#[error("writing to the replicator's database: {0}")]
pub struct WriteError(pub String);
