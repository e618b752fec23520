//! What holds the rows and makes them durable, as the log and the engine see it:
//! [`super::Database`], or a simulated disk that a test can crash.
//!
//! The promise is that of a write-ahead log: a batch is there whole or not at all,
//! and batches are lost from the end only. So a batch that was written with sync
//! keeps all batches before it.
//!
//! Beside the rows of the state there is room for those of another, which nobody reads: a snapshot that arrives is
//! laid there in pieces ([`super::lay`]), and takes the place of the state in one batch ([`Stage::swap`]).

use crate::state::{Changes, KeyRange, Table, View};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Rows as they were at one moment, for as long as somebody has them.
#[derive(Clone)]
pub struct Frozen(Arc<dyn View + Send + Sync>);

impl Frozen {
    /// From a view that does not change.
    pub fn new(view: impl View + Send + Sync + 'static) -> Self {
        Self(Arc::new(view))
    }

    /// The view that is frozen.
    pub fn view(&self) -> &dyn View {
        &*self.0
    }
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Frozen")
    }
}

/// Rows that can be read from any thread, and written by one; those beside the state by whoever has the turn.
pub trait Disk: View + Send + Sync {
    /// Nothing to write yet.
    fn stage(&self) -> Box<dyn Stage + '_>;

    /// A view that stays as it is now, whatever is written.
    fn frozen(self: Arc<Self>) -> Frozen;

    /// The right to write beside the state; `None` while somebody has it.
    fn turn(&self) -> Option<Turn>;
}

/// Writes to be made at once, in order.
pub trait Stage {
    /// Writes a row of a table.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]);

    /// Deletes a row of a table.
    fn delete(&mut self, table: Table, key: &[u8]);

    /// Deletes the rows of a range.
    fn clear(&mut self, table: Table, range: &KeyRange);

    /// Writes a row beside the state.
    fn put_beside(&mut self, table: Table, key: &[u8], value: &[u8]);

    /// Deletes all that stands beside the state.
    fn clear_beside(&mut self);

    /// Lets what stands beside the state take its place, and deletes what was there. What is staged from now on is
    /// of the new one.
    fn swap(&mut self);

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

/// Gives the one [`Turn`] that there is.
#[derive(Clone, Default, Debug)]
pub struct Turns(Arc<AtomicBool>);

impl Turns {
    /// `None` while somebody has it.
    pub fn take(&self) -> Option<Turn> {
        let was_taken = self.0.swap(true, Ordering::AcqRel);
        (!was_taken).then(|| Turn(self.0.clone()))
    }
}

/// The right to write beside the state; given back when dropped.
#[derive(Debug)]
pub struct Turn(Arc<AtomicBool>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
