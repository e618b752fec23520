//! A state that comes in pieces, laid beside the one that is there.
//!
//! While it is laid nobody reads it, and the state beside it goes on to be read and changed. When it is there to the
//! last row, whoever writes the log lets it take the state's place ([`Stage::swap`]) in the batch that begins the log
//! anew. A crash before that leaves the old state and the old log, and rubbish beside it, which the next one clears.
//!
//! [`Stage::swap`]: super::Stage::swap

use super::disk::{Disk, Turn, WriteError};
use super::snapshot::{self, Unusable};
use crate::failpoint;
use std::io::Read;

/// Bytes of rows that are written, and synced, at once: so little that the log's writes hardly wait.
const WRITTEN: usize = 4 << 20;

/// A whole state that stands beside the one that is there, until it is dropped.
#[derive(Debug)]
pub struct Laid {
    _turn: Turn,
    /// How many there are.
    pub rows: u64,
}

/// Lays the rows of a snapshot.
pub fn lay(
    disk: &dyn Disk,
    turn: Turn,
    source: &mut dyn Read,
) -> Result<Laid, Unusable<WriteError>> {
    lay_in(disk, turn, source, WRITTEN)
}

/// The same in batches of about `written` bytes.
pub fn lay_in(
    disk: &dyn Disk,
    turn: Turn,
    source: &mut dyn Read,
    written: usize,
) -> Result<Laid, Unusable<WriteError>> {
    let mut batch = disk.stage();
    batch.clear_beside();
    let mut bytes = 0;
    let rows = snapshot::read(source, |table, key, value| {
        batch.put_beside(table, key, value);
        bytes += key.len() + value.len();
        if bytes < written {
            return Ok(());
        }
        bytes = 0;
        failpoint::SNAPSHOT_LAYING.hit();
        std::mem::replace(&mut batch, disk.stage()).write(true)
    })?;
    batch.write(true).map_err(Unusable::Taker)?;
    failpoint::SNAPSHOT_LAID.hit();
    Ok(Laid { _turn: turn, rows })
}
