//! A cluster anew from what is left of another: a backup, or the data of one node.
//!
//! Either way there is one voter at first, and who belonged to the old cluster is forgotten: what
//! the others of that may still say is none of the new one's, whose certificates they lack.

use super::backup::{RestoreError, lay_backup};
use super::log::{self, Log};
use super::open::FORMAT_KEY;
use super::{Batch, Database, OpenError, Stage, entry};
use crate::state::{Step, Table, View, no_claims, rows_of_cluster};
use raft::eraftpb::{ConfState, Entry, EntryType};
use std::io::Read;

impl Database {
    /// Begins a new data directory with the state of a backup of `size` bytes. The log goes on after it, so that
    /// no version comes twice. Until the last of its bytes has proved right the directory is as good as empty.
    pub fn begin_with(
        &self,
        backup: &mut dyn Read,
        size: u64,
        node: u64,
    ) -> Result<(), RestoreError> {
        let marker = self.get(Table::RaftState, FORMAT_KEY);
        if marker.map_err(OpenError::from)?.is_some() {
            return Err(OpenError::NotEmpty(self.dir().to_owned()).into());
        }
        self.check_empty()?;
        let (position, _laid) = lay_backup(self, backup, size)?;
        let mut batch = Batch::new(self);
        Log::stage_beginning(&mut batch, position, &alone(node));
        batch.swap();
        forget_cluster(&mut batch);
        Ok(self.write_durably(batch)?)
    }

    /// Makes a node the only voter there is. What its log has and it did not know to be committed
    /// may have been acknowledged, and is committed when it leads; but nobody joins by it.
    pub(crate) fn make_alone(&self, node: u64) -> Result<(), OpenError> {
        let mut batch = Batch::new(self);
        let applied = log::applied(self)?;
        self.scan(
            Table::RaftLog,
            &log::after(applied.index),
            &mut |key, row| {
                let index = key.first_chunk().copied().map_or(0, u64::from_be_bytes);
                let found = entry::decode_entry(index, row).ok_or_else(|| log::damaged(index))?;
                if found.get_entry_type() != EntryType::EntryNormal {
                    let nothing = Entry {
                        index,
                        term: found.term,
                        ..Entry::default()
                    };
                    batch.put(Table::RaftLog, key, &entry::encode_entry(&nothing));
                }
                Ok(Step::Next)
            },
        )?;
        log::stage_members(&mut batch, &alone(node));
        forget_cluster(&mut batch);
        self.write_durably(batch)
    }
}

fn alone(node: u64) -> ConfState {
    ConfState {
        voters: vec![node],
        ..ConfState::default()
    }
}

/// The cluster may go on, and with it the store that both name.
fn forget_cluster(batch: &mut dyn Stage) {
    for (table, rows) in rows_of_cluster() {
        batch.clear(table, &rows);
    }
    let (table, key, row) = no_claims();
    batch.put(table, key, &row);
}
