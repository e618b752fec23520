//! A disk in memory that keeps what is synced and what is not apart. A crash takes
//! away the unsynced batches from some point on, as RocksDB's write-ahead log does.

use crate::bug::Bug;
use gitmoor_replicator::ReadError;
use gitmoor_replicator::state::{KeyRange, Step, Table, View, Visit};
use gitmoor_replicator::storage::{Bootstrap, Disk, Frozen, Stage, Turn, Turns, WriteError};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

type TableRows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Those that are read, and those beside them.
#[derive(Clone, Default)]
pub(crate) struct Rows([TableRows; Table::ALL.len()], [TableRows; Table::ALL.len()]);

#[derive(Clone)]
enum Write {
    Put(Table, Vec<u8>, Vec<u8>),
    Delete(Table, Vec<u8>),
    Clear(Table, KeyRange),
    PutBeside(Table, Vec<u8>, Vec<u8>),
    ClearBeside,
    Swap,
}

/// A change of the log.
pub(crate) enum Logged {
    /// A row: index and bytes.
    Entry(u64, Vec<u8>),
    /// A snapshot takes the place of all.
    Cleared,
}

pub(crate) struct SimDisk {
    state: Mutex<State>,
    /// Of this life.
    turns: Mutex<Turns>,
    bug: Bug,
}

#[derive(Default)]
struct State {
    /// What is read. Views share it until the next write.
    rows: Arc<Rows>,
    durable: Rows,
    unsynced: Vec<Vec<Write>>,
    /// Writes until the power fails in the middle of one.
    writes_left: Option<u32>,
    /// Microseconds that a sync takes.
    sync_time: u64,
    /// Microseconds spent since this was last asked.
    spent: u64,
    logged: Vec<Logged>,
}

impl SimDisk {
    pub(crate) fn new(bootstrap: Bootstrap, bug: Bug) -> Self {
        let disk = Self {
            state: Mutex::default(),
            turns: Mutex::default(),
            bug,
        };
        let mut batch = disk.stage();
        bootstrap.stage(&mut *batch);
        batch.write(true).expect("the power is on");
        disk.crash(usize::MAX);
        disk
    }

    /// The power fails: of the unsynced batches the first `keep` survive.
    pub(crate) fn crash(&self, keep: usize) {
        *self.turns.lock() = Turns::default();
        let state = &mut *self.state.lock();
        let kept: Vec<_> = match self.bug {
            Bug::LosesBatchesFromTheMiddle => state.unsynced.drain(..).step_by(2).collect(),
            _ => state
                .unsynced
                .drain(..keep.min(state.unsynced.len()))
                .collect(),
        };
        kept.iter().for_each(|batch| state.durable.apply(batch));
        if self.bug == Bug::TearsBatches
            && let Some(torn) = state.unsynced.first()
        {
            state.durable.apply(&torn[..torn.len() / 2]);
        }
        state.unsynced.clear();
        state.rows = Arc::new(state.durable.clone());
        state.writes_left = None;
        state.logged.clear();
    }

    pub(crate) fn unsynced(&self) -> usize {
        self.state.lock().unsynced.len()
    }

    /// Lets the power fail in the middle of a write that is to come.
    pub(crate) fn fail_after(&self, writes: u32) {
        self.state.lock().writes_left = Some(writes);
    }

    pub(crate) fn set_sync_time(&self, microseconds: u64) {
        self.state.lock().sync_time = microseconds;
    }

    /// Time spent syncing and not asked for yet.
    pub(crate) fn spent(&self) -> u64 {
        self.state.lock().spent
    }

    pub(crate) fn reset_spent(&self) -> u64 {
        std::mem::take(&mut self.state.lock().spent)
    }

    /// What happened to the log since this was last asked.
    pub(crate) fn take_logged(&self) -> Vec<Logged> {
        std::mem::take(&mut self.state.lock().logged)
    }

    /// The log as it is.
    pub(crate) fn log(&self) -> Vec<Logged> {
        let rows = self.rows();
        let log = rows.0[Table::RaftLog as usize].iter();
        log.map(|(key, value)| Logged::Entry(index_of(key), value.clone()))
            .collect()
    }
}

fn index_of(key: &[u8]) -> u64 {
    u64::from_be_bytes(key.try_into().expect("a key of the log has eight bytes"))
}

impl Write {
    fn logged(&self) -> Option<Logged> {
        match self {
            Self::Put(Table::RaftLog, key, value) => {
                Some(Logged::Entry(index_of(key), value.clone()))
            }
            Self::Clear(Table::RaftLog, range) if *range == KeyRange::all() => {
                Some(Logged::Cleared)
            }
            _ => None,
        }
    }
}

impl State {
    fn write(&mut self, batch: Vec<Write>, sync: bool, bug: Bug) -> Result<(), WriteError> {
        if let Some(left) = &mut self.writes_left {
            if *left == 0 {
                self.unsynced.push(batch);
                return Err(WriteError("the power has failed".into()));
            }
            *left -= 1;
        }
        let batch = bug.spoil(batch);
        self.logged.extend(batch.iter().filter_map(Write::logged));
        Arc::make_mut(&mut self.rows).apply(&batch);
        let sync = sync && bug.syncs(&batch);
        self.unsynced.push(batch);
        if sync {
            self.spent += self.sync_time;
            for batch in self.unsynced.drain(..) {
                self.durable.apply(&batch);
            }
        }
        Ok(())
    }
}

impl Bug {
    fn syncs(self, batch: &[Write]) -> bool {
        match self {
            Bug::SyncsNothing => false,
            Bug::VotesBeforePersisting => batch
                .iter()
                .any(|write| matches!(write, Write::Put(Table::RaftLog, ..))),
            _ => true,
        }
    }

    fn spoil(self, mut batch: Vec<Write>) -> Vec<Write> {
        let table = match self {
            Bug::AppliesWithoutSessions => Table::Sessions,
            _ => return batch,
        };
        batch.retain(|write| !matches!(write, Write::Put(of, ..) if *of == table));
        batch
    }
}

impl Rows {
    fn apply(&mut self, batch: &[Write]) {
        for write in batch {
            match write {
                Write::Put(table, key, value) => {
                    self.0[*table as usize].insert(key.clone(), value.clone());
                }
                Write::Delete(table, key) => {
                    self.0[*table as usize].remove(key);
                }
                Write::Clear(table, range) => {
                    self.0[*table as usize].retain(|key, _| !range.contains(key));
                }
                Write::PutBeside(table, key, value) => {
                    self.1[*table as usize].insert(key.clone(), value.clone());
                }
                Write::ClearBeside => self.1 = Default::default(),
                Write::Swap => {
                    for table in Table::STATE {
                        self.0[table as usize] = std::mem::take(&mut self.1[table as usize]);
                    }
                }
            }
        }
    }
}

impl View for Rows {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.0[table as usize].get(key).cloned())
    }

    fn scan(&self, table: Table, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        let rows = &self.0[table as usize];
        let mut from = Bound::Included(range.from.clone());
        loop {
            let mut rest =
                rows.range::<[u8], _>((from.as_ref().map(Vec::as_slice), Bound::Unbounded));
            let Some((key, value)) = rest.next().filter(|(key, _)| range.contains(key)) else {
                return Ok(());
            };
            from = match visit(key, value)? {
                Step::Next => Bound::Excluded(key.clone()),
                Step::Seek(to) => Bound::Included(to),
                Step::Stop => return Ok(()),
            };
        }
    }
}

impl SimDisk {
    fn rows(&self) -> Arc<Rows> {
        Arc::clone(&self.state.lock().rows)
    }
}

impl View for SimDisk {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.state.lock().rows.get(table, key)
    }

    fn scan(&self, table: Table, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        self.rows().scan(table, range, visit)
    }
}

impl Disk for SimDisk {
    fn stage(&self) -> Box<dyn Stage + '_> {
        Box::new(SimStage {
            disk: self,
            writes: Vec::new(),
        })
    }

    fn frozen(self: Arc<Self>) -> Frozen {
        let mut rows = Rows::clone(&self.rows());
        if self.bug == Bug::SnapshotsWithoutSessions {
            rows.0[Table::Sessions as usize].clear();
        }
        Frozen::new(rows)
    }

    fn turn(&self) -> Option<Turn> {
        self.turns.lock().take()
    }
}

struct SimStage<'d> {
    disk: &'d SimDisk,
    writes: Vec<Write>,
}

impl Stage for SimStage<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.writes
            .push(Write::Put(table, key.to_vec(), value.to_vec()));
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        self.writes.push(Write::Delete(table, key.to_vec()));
    }

    fn clear(&mut self, table: Table, range: &KeyRange) {
        self.writes.push(Write::Clear(table, range.clone()));
    }

    fn put_beside(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.writes
            .push(Write::PutBeside(table, key.to_vec(), value.to_vec()));
    }

    fn clear_beside(&mut self) {
        self.writes.push(Write::ClearBeside);
    }

    fn swap(&mut self) {
        self.writes.push(Write::Swap);
    }

    fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    fn write(self: Box<Self>, sync: bool) -> Result<(), WriteError> {
        let Self { disk, writes } = *self;
        disk.state.lock().write(writes, sync, disk.bug)
    }
}
