//! The RocksDB of a data directory.
//!
//! Of each table of the state there are two column families. The state stands in those of one [`Side`], which a row of
//! raft's names; those of the other are empty, or a snapshot is being laid there ([`super::lay`]). A directory whose
//! state never changed sides is as it was before there were any.

use super::disk::{Frozen, Turn, Turns};
use super::{Batch, Disk, OpenError, Stage, tail};
use crate::state::{KeyRange, ReadError, Step, Table, View, Visit};
use parking_lot::RwLock;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBAccess,
    DBCompressionType, DBRawIteratorWithThreadMode, DBRecoveryMode, Options, ReadOptions,
    WriteOptions,
};
use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Uncompressed blocks kept in memory, for all tables together.
const BLOCK_CACHE: usize = 64 << 20;
/// Memory for rows that are not in sorted files yet, for all tables together.
const WRITE_BUFFERS: usize = 32 << 20;
/// What a table takes of that at a time. RocksDB's own choice, 1 MiB, would be all of it for tables with a few rows.
const WRITE_BUFFER_PIECE: usize = 128 << 10;
/// A table that is rarely written keeps the write-ahead log of all alive until
/// it is flushed; at this many bytes it is.
const WAL_LIMIT: u64 = 256 << 20;

/// Which side the state is on.
pub(super) const SIDE_KEY: &[u8] = b"side";

/// One of the two places of the state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    First = 0,
    Second = 1,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    fn of_number(number: u8) -> Option<Self> {
        [Self::First, Self::Second]
            .into_iter()
            .find(|side| *side as u8 == number)
    }

    /// The column family of a table. Raft's own tables have one each.
    fn family(self, table: Table) -> String {
        match self {
            Self::Second if Table::STATE.contains(&table) => format!("{}.second", table.name()),
            Self::First | Self::Second => table.name().to_owned(),
        }
    }
}

/// The open database of a data directory. Reads may come from any thread; the
/// loop is the only writer of the state, and of what stands beside it whoever has the turn.
pub struct Database {
    db: DB,
    /// By side and table.
    families: [Vec<String>; 2],
    /// Where the state is. Held while the state changes sides, and by a reader until its place is found: one that came
    /// late to the side that has just been cleared would see no state at all.
    side: RwLock<Side>,
    turns: Turns,
    dir: PathBuf,
    // Last, so that the database is closed before another can be opened.
    _lock: File,
}

impl Database {
    /// Opens the database in `dir`, creating both if need be. The directory is
    /// locked until this is dropped.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        create_durably(dir)?;
        let lock = lock(dir)?;
        tail::settle(dir)?;
        let cache = Cache::new_lru_cache(BLOCK_CACHE);
        let families = family_names(dir).into_iter();
        let families =
            families.map(|name| ColumnFamilyDescriptor::new(name, table_options(&cache)));
        match DB::open_cf_descriptors(&database_options(), dir, families) {
            Ok(db) => Self::of(db, dir, lock),
            Err(error) if error.kind() == rocksdb::ErrorKind::Corruption => {
                Err(OpenError::Damaged {
                    dir: dir.to_owned(),
                    what: format!("{error}; {ADVICE}"),
                })
            }
            Err(source) => Err(OpenError::Database {
                dir: dir.to_owned(),
                source,
            }),
        }
    }

    fn of(db: DB, dir: &Path, lock: File) -> Result<Self, OpenError> {
        let families = [Side::First, Side::Second];
        let families = families.map(|side| Table::ALL.map(|table| side.family(table)).into());
        let mut database = Self {
            db,
            families,
            side: RwLock::new(Side::First),
            turns: Turns::default(),
            dir: dir.to_owned(),
            _lock: lock,
        };
        let side = side_of(&database)?;
        *database.side.get_mut() = side;
        Ok(database)
    }

    /// Path of the database's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a batch: after a crash of the process all of it is there or none.
    /// With `sync` it also survives a power failure, and so does every batch
    /// before it; without, it may be lost together with all that came after.
    pub fn write(&self, batch: Batch<'_>, sync: bool) -> Result<(), rocksdb::Error> {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        let (inner, swapped) = batch.into_inner();
        let Some(swapped) = swapped else {
            return self.db.write_opt(inner, &options);
        };
        let mut side = self.side.write();
        self.db.write_opt(inner, &options)?;
        *side = swapped;
        Ok(())
    }

    /// Where the state is, for the writer: it alone lets it change.
    pub(super) fn side(&self) -> Side {
        *self.side.read()
    }

    /// Whether a snapshot that was never whole has left rows beside the state.
    pub(super) fn has_rubbish(&self) -> Result<bool, ReadError> {
        for table in Table::STATE {
            let mut rows = self
                .db
                .raw_iterator_cf(self.family(self.side().other(), table));
            rows.seek_to_first();
            if rows.valid() {
                return Ok(true);
            }
            rows.status().map_err(unreadable)?;
        }
        Ok(false)
    }

    pub(super) fn family(&self, side: Side, table: Table) -> &ColumnFamily {
        self.db
            .cf_handle(&self.families[side as usize][table as usize])
            .expect("every table was opened with the database")
    }
}

fn side_of(view: &dyn View) -> Result<Side, ReadError> {
    let row = view.get(Table::RaftState, SIDE_KEY)?;
    let side = match row.as_deref() {
        None => Some(Side::First),
        Some(&[number]) => Side::of_number(number),
        Some(_) => None,
    };
    let damaged = || ReadError::Damaged("the side that the state is on".to_owned());
    side.ok_or_else(damaged)
}

impl View for Database {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let side = self.side.read();
        let family = self.family(*side, table);
        self.db.get_cf(family, key).map_err(unreadable)
    }

    fn scan(&self, table: Table, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        let side = self.side.read();
        let family = self.family(*side, table);
        // Goes on to show what is there now, whatever becomes of it.
        let rows = self.db.raw_iterator_cf_opt(family, bounds(range));
        drop(side);
        walk(rows, range, visit)
    }
}

impl Disk for Database {
    fn stage(&self) -> Box<dyn Stage + '_> {
        Box::new(Batch::new(self))
    }

    fn frozen(self: Arc<Self>) -> Frozen {
        Frozen::new(Moment::new(self, |database| Kept {
            snapshot: database.db.snapshot(),
        }))
    }

    fn turn(&self) -> Option<Turn> {
        self.turns.take()
    }
}

/// RocksDB's view of a moment.
struct Kept<'d> {
    snapshot: rocksdb::Snapshot<'d>,
}

self_cell::self_cell! {
    /// The same with the database that it is of.
    struct Moment {
        owner: Arc<Database>,
        #[covariant]
        dependent: Kept,
    }
}

impl Moment {
    /// The family of a table at that moment: the state may have changed sides since.
    fn family(&self, table: Table) -> Result<&ColumnFamily, ReadError> {
        let database = self.borrow_owner();
        let side = match table {
            Table::RaftState | Table::RaftLog => Side::First,
            _ => side_of(self)?,
        };
        Ok(database.family(side, table))
    }
}

impl View for Moment {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let family = self.family(table)?;
        let snapshot = &self.borrow_dependent().snapshot;
        snapshot.get_cf(family, key).map_err(unreadable)
    }

    fn scan(&self, table: Table, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        let family = self.family(table)?;
        let snapshot = &self.borrow_dependent().snapshot;
        let mut options = bounds(range);
        // Of the whole state, each row is read and done with: what others read stays in the cache.
        options.fill_cache(false);
        walk(snapshot.raw_iterator_cf_opt(family, options), range, visit)
    }
}

fn walk<D: DBAccess>(
    mut rows: DBRawIteratorWithThreadMode<'_, D>,
    range: &KeyRange,
    visit: &mut Visit<'_>,
) -> Result<(), ReadError> {
    rows.seek(&range.from);
    while let Some((key, value)) = rows.item() {
        match visit(key, value)? {
            Step::Next => rows.next(),
            Step::Seek(to) => rows.seek(to),
            Step::Stop => return Ok(()),
        }
    }
    rows.status().map_err(unreadable)
}

fn bounds(range: &KeyRange) -> ReadOptions {
    let mut options = ReadOptions::default();
    if let Some(to) = &range.to {
        options.set_iterate_upper_bound(to.clone());
    }
    options
}

/// What to do about damage, after RocksDB's words, which name the file.
pub(super) const ADVICE: &str = "the disk has changed what was written: check it, then put the directory \
                      back from a backup; what stands in the object store is not touched";

/// Damage ends the process, as a failed write does: what cannot be read may be a ref
/// or its absence, and a mount that answers the one and not the other is no truth.
fn unreadable(error: rocksdb::Error) -> ReadError {
    if error.kind() == rocksdb::ErrorKind::Corruption {
        tracing::error!(%error, "the replicator's database is damaged, ending the process: {ADVICE}");
        std::process::abort();
    }
    ReadError::Database(error.into_string())
}

/// Our tables, and whatever a later version may have added: RocksDB opens a
/// database only with all of its families, and only then can its format marker
/// be read and refused.
fn family_names(dir: &Path) -> BTreeSet<String> {
    // Fails for a new directory; opening tells what else may be wrong.
    let there = DB::list_cf(&Options::default(), dir).unwrap_or_default();
    let sides = [Side::First, Side::Second].into_iter();
    let ours = sides.flat_map(|side| Table::ALL.map(|table| side.family(table)));
    there
        .into_iter()
        .chain(ours)
        .filter(|name| name != "default")
        .collect()
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_db_write_buffer_size(WRITE_BUFFERS);
    options.set_max_total_wal_size(WAL_LIMIT);
    options.set_keep_log_file_num(4);
    // RocksDB's default, point in time, takes the write-ahead log up to the first damaged
    // record for the whole of it, which would quietly take back what was acknowledged
    // after that; absolute consistency refuses what every power failure may leave.
    // Torn writes are cut off already (`tail`), so that little is left to tolerate: a
    // write in several records of which the last are missing.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options
}

fn table_options(cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_arena_block_size(WRITE_BUFFER_PIECE);
    options
}

/// Creates a directory and its parents so that it survives a power failure.
/// RocksDB syncs what it makes inside, but not the entry of the directory.
fn create_durably(dir: &Path) -> std::io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    create_durably(parent)?;
    std::fs::create_dir(dir)?;
    std::fs::File::open(parent)?.sync_all()
}

/// RocksDB's own lock comes too late: its logs are looked at before.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let file = File::open(dir)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}
