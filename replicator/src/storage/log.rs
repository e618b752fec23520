//! Raft's storage: its log, hard state and membership on a [`Disk`].
//!
//! Writing goes in two steps: a method stages rows into a [`Stage`], and the
//! engine writes the batch. The bounds of the log that are kept in memory move
//! when rows are staged; they cannot come to differ from the disk, because a
//! batch that cannot be written ends the process.
//!
//! A snapshot that raft asks for is a place in the log alone. The state of that place is frozen, which costs nothing,
//! and waits for the message to be sent ([`Log::frozen_at`]): whoever sends it reads it elsewhere.

use super::entry::{
    decode_conf_state, decode_entry, decode_hard_state, decode_position, decode_term,
    encode_conf_state, encode_entry, encode_hard_state, encode_position,
};
use super::{Disk, Frozen, Stage};
use crate::state::{KeyRange, ReadError, Step, Table, View};
use parking_lot::Mutex;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot, SnapshotMetadata};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};
use std::collections::BTreeMap;
use std::sync::Arc;

const HARD_STATE: &[u8] = b"hard_state";
const CONF_STATE: &[u8] = b"conf_state";
/// The last entry whose effects are in the state tables.
const APPLIED: &[u8] = b"applied";
/// The last entry that is no longer in the log.
const TRUNCATED: &[u8] = b"truncated";

/// The place of an entry in the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// Index of the entry.
    pub index: u64,
    /// Raft's term of the entry.
    pub term: u64,
}

/// The log of one node.
pub struct Log {
    disk: Arc<dyn Disk>,
    /// The entry before the first one.
    truncated: Position,
    last: u64,
    applied: Position,
    /// Bytes of entries in the log, those that were overwritten included.
    grown: u64,
    /// The states of the snapshots that raft has asked for and not sent yet, by the last entry in each.
    frozen: Mutex<BTreeMap<u64, Frozen>>,
}

impl Log {
    /// The log on a disk that is prepared.
    pub fn open(disk: Arc<impl Disk + 'static>) -> Result<Self, ReadError> {
        let truncated = required(&*disk, TRUNCATED, decode_position)?;
        let applied = applied(&*disk)?;
        let (last, grown) = extent(&*disk, truncated.index)?;
        Ok(Self {
            disk,
            truncated,
            last,
            applied,
            grown,
            frozen: Mutex::default(),
        })
    }

    /// The state of a snapshot that raft has asked for since [`Log::sent_all`].
    pub(crate) fn frozen_at(&self, index: u64) -> Option<Frozen> {
        self.frozen.lock().get(&index).cloned()
    }

    /// Raft has no message that is not handed out.
    pub(crate) fn sent_all(&mut self) {
        self.frozen.get_mut().clear();
    }

    /// The last entry whose effects are in the state tables.
    pub fn applied(&self) -> Position {
        self.applied
    }

    /// Entries that could be compacted away.
    pub(crate) fn applied_entries(&self) -> u64 {
        self.applied.index - self.truncated.index
    }

    /// Bytes of entries in the log.
    pub fn grown(&self) -> u64 {
        self.grown
    }

    /// The first rows of a new node, whose log begins after `beginning`.
    pub(super) fn stage_beginning(batch: &mut dyn Stage, beginning: Position, members: &ConfState) {
        let hard_state = HardState {
            term: beginning.term,
            commit: beginning.index,
            ..HardState::default()
        };
        batch.put(Table::RaftState, TRUNCATED, &encode_position(beginning));
        batch.put(Table::RaftState, APPLIED, &encode_position(beginning));
        batch.put(
            Table::RaftState,
            HARD_STATE,
            &encode_hard_state(&hard_state),
        );
        stage_members(batch, members);
    }

    /// Appends entries in place of whatever the log has from the first of them.
    pub fn append(&mut self, batch: &mut dyn Stage, entries: &[Entry]) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return;
        };
        debug_assert!(first.index > self.truncated.index && first.index <= self.last + 1);
        if last.index < self.last {
            batch.clear(Table::RaftLog, &indexes(last.index + 1, self.last + 1));
        }
        for entry in entries {
            let bytes = encode_entry(entry);
            self.grown += bytes.len() as u64;
            batch.put(Table::RaftLog, &entry.index.to_be_bytes(), &bytes);
        }
        self.last = last.index;
    }

    /// Records term, vote and commit index.
    pub(crate) fn save_hard_state(&self, batch: &mut dyn Stage, state: &HardState) {
        batch.put(Table::RaftState, HARD_STATE, &encode_hard_state(state));
    }

    pub(crate) fn save_members(&self, batch: &mut dyn Stage, members: &ConfState) {
        stage_members(batch, members);
    }

    /// Records how far the state tables have come. Must be in the batch of the
    /// effects themselves, and that batch must also hold the commit index.
    pub(crate) fn save_applied(&mut self, batch: &mut dyn Stage, applied: Position) {
        self.applied = applied;
        batch.put(Table::RaftState, APPLIED, &encode_position(applied));
    }

    /// Begins the log anew after the entry that a snapshot ends with.
    pub(crate) fn restart_after(&mut self, batch: &mut dyn Stage, metadata: &SnapshotMetadata) {
        let position = Position {
            index: metadata.index,
            term: metadata.term,
        };
        batch.clear(Table::RaftLog, &KeyRange::all());
        batch.put(Table::RaftState, TRUNCATED, &encode_position(position));
        self.save_members(batch, metadata.get_conf_state());
        self.save_applied(batch, position);
        self.truncated = position;
        self.last = position.index;
        self.grown = 0;
    }

    /// Forgets entries whose effects are in the state tables, except for the last
    /// `keep` of them.
    pub fn compact(&mut self, batch: &mut dyn Stage, keep: u64) -> Result<(), ReadError> {
        let entries = self.applied_entries().max(1);
        let to = self.applied.index - keep.min(self.applied_entries());
        let to = Position {
            index: to,
            term: self.term(to).map_err(|_| damaged(to))?,
        };
        let gone = indexes(self.truncated.index + 1, to.index + 1);
        batch.clear(Table::RaftLog, &gone);
        batch.put(Table::RaftState, TRUNCATED, &encode_position(to));
        self.truncated = to;
        // As if all were of one size; the next start counts them.
        self.grown = self.grown / entries * self.applied_entries();
        Ok(())
    }

    /// A snapshot of the state at this moment: its place in the log, and no rows.
    fn take_snapshot(&self) -> Result<Snapshot, ReadError> {
        let state = Arc::clone(&self.disk).frozen();
        let applied = applied(state.view())?;
        let members = required(state.view(), CONF_STATE, decode_conf_state)?;
        let mut taken = Snapshot::default();
        let metadata = taken.mut_metadata();
        metadata.index = applied.index;
        metadata.term = applied.term;
        metadata.set_conf_state(members);
        self.frozen.lock().insert(applied.index, state);
        Ok(taken)
    }

    fn term_of(&self, index: u64) -> raft::Result<u64> {
        let value = self
            .disk
            .get(Table::RaftLog, &index.to_be_bytes())
            .map_err(to_raft)?;
        let value = value.ok_or(StorageError::Unavailable)?;
        decode_term(&value).ok_or_else(|| to_raft(damaged(index)))
    }

    /// The entries of `range`, at least one, until they are `max` bytes.
    fn read(&self, range: &KeyRange, max: u64) -> Result<Vec<Entry>, ReadError> {
        let mut entries = Vec::new();
        let mut size = 0;
        self.disk.scan(Table::RaftLog, range, &mut |key, value| {
            size += value.len() as u64;
            if size > max && !entries.is_empty() {
                return Ok(Step::Stop);
            }
            let index = key.first_chunk().copied().map_or(0, u64::from_be_bytes);
            entries.push(decode_entry(index, value).ok_or_else(|| damaged(index))?);
            Ok(Step::Next)
        })?;
        Ok(entries)
    }
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let hard_state = required(&*self.disk, HARD_STATE, decode_hard_state).map_err(to_raft)?;
        let members = required(&*self.disk, CONF_STATE, decode_conf_state).map_err(to_raft)?;
        Ok(RaftState::new(hard_state, members))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.truncated.index {
            return Err(StorageError::Compacted.into());
        }
        let max = max_size.into().unwrap_or(u64::MAX);
        let entries = self.read(&indexes(low, high), max).map_err(to_raft)?;
        match entries.first() {
            Some(first) if first.index == low => Ok(entries),
            _ => Err(StorageError::Unavailable.into()),
        }
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.truncated.index {
            return Ok(self.truncated.term);
        }
        if index < self.truncated.index {
            return Err(StorageError::Compacted.into());
        }
        self.term_of(index)
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.truncated.index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last)
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        // Raft takes any other error for the end of the world.
        let unavailable = StorageError::SnapshotTemporarilyUnavailable;
        if self.applied.index < request_index {
            return Err(unavailable.into());
        }
        self.take_snapshot().map_err(|error| {
            tracing::error!(%error, "cannot take a snapshot of the state");
            unavailable.into()
        })
    }
}

/// The last entry whose effects are in the state tables.
pub(crate) fn applied(view: &dyn View) -> Result<Position, ReadError> {
    required(view, APPLIED, decode_position)
}

pub(super) fn stage_members(batch: &mut dyn Stage, members: &ConfState) {
    batch.put(Table::RaftState, CONF_STATE, &encode_conf_state(members));
}

fn required<T>(
    view: &dyn View,
    key: &[u8],
    decode: fn(&[u8]) -> Option<T>,
) -> Result<T, ReadError> {
    let value = view.get(Table::RaftState, key)?;
    value.and_then(|value| decode(&value)).ok_or_else(|| {
        ReadError::Damaged(format!(
            "{} of {}",
            key.escape_ascii(),
            Table::RaftState.name()
        ))
    })
}

/// The last entry's index (that of the truncated one when there are none), and
/// the bytes of all entries. Walks the log, which compaction keeps short.
fn extent(view: &dyn View, truncated: u64) -> Result<(u64, u64), ReadError> {
    let (mut last, mut bytes) = (truncated, 0);
    view.scan(Table::RaftLog, &after(truncated), &mut |key, value| {
        let index = key.first_chunk().copied().map_or(0, u64::from_be_bytes);
        if index != last + 1 {
            return Err(damaged(last + 1));
        }
        last = index;
        bytes += value.len() as u64;
        Ok(Step::Next)
    })?;
    Ok((last, bytes))
}

/// The entries after one.
pub(super) fn after(index: u64) -> KeyRange {
    indexes(index + 1, u64::MAX)
}

fn indexes(from: u64, to: u64) -> KeyRange {
    KeyRange {
        from: from.to_be_bytes().to_vec(),
        to: Some(to.to_be_bytes().to_vec()),
    }
}

pub(super) fn damaged(index: u64) -> ReadError {
    ReadError::Damaged(format!("raft entry {index}"))
}

fn to_raft(error: ReadError) -> raft::Error {
    StorageError::Other(Box::new(error)).into()
}
