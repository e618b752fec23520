//! The RocksDB of a data directory.

use super::{Batch, Disk, OpenError, Stage, tail};
use crate::ReadError;
use crate::state::{KeyRange, Step, Table, View, Visit};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBAccess,
    DBCompressionType, DBRawIteratorWithThreadMode, DBRecoveryMode, Options, ReadOptions,
    WriteOptions,
};
use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// Uncompressed blocks kept in memory, for all tables together.
const BLOCK_CACHE: usize = 64 << 20;
/// Memory for rows that are not in sorted files yet, for all tables together.
const WRITE_BUFFERS: usize = 64 << 20;
/// A table that is rarely written keeps the write-ahead log of all alive until
/// it is flushed; at this many bytes it is.
const WAL_LIMIT: u64 = 256 << 20;

/// The open database of a data directory. Reads may come from any thread; the
/// loop is the only writer.
pub struct Database {
    db: DB,
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
            Ok(db) => Ok(Self {
                db,
                dir: dir.to_owned(),
                _lock: lock,
            }),
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

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a batch: after a crash of the process all of it is there or none.
    /// With `sync` it also survives a power failure, and so does every batch
    /// before it; without, it may be lost together with all that came after.
    pub fn write(&self, batch: Batch<'_>, sync: bool) -> Result<(), rocksdb::Error> {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        self.db.write_opt(batch.into_inner(), &options)
    }

    /// A view that stays as it is now, whatever is written.
    pub fn snapshot(&self) -> DatabaseSnapshot<'_> {
        DatabaseSnapshot {
            database: self,
            snapshot: self.db.snapshot(),
        }
    }

    pub(super) fn family(&self, table: Table) -> &ColumnFamily {
        self.db
            .cf_handle(table.name())
            .expect("every table was opened with the database")
    }
}

impl View for Database {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.db.get_cf(self.family(table), key).map_err(unreadable)
    }

    fn scan(&self, table: Table, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        walk(
            self.db
                .raw_iterator_cf_opt(self.family(table), bounds(range)),
            range,
            visit,
        )
    }
}

impl Disk for Database {
    fn stage(&self) -> Box<dyn Stage + '_> {
        Box::new(Batch::new(self))
    }

    fn frozen(&self) -> Box<dyn View + '_> {
        Box::new(self.snapshot())
    }
}

/// The database as it was at one moment.
pub struct DatabaseSnapshot<'d> {
    database: &'d Database,
    snapshot: rocksdb::Snapshot<'d>,
}

impl View for DatabaseSnapshot<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        self.snapshot
            .get_cf(self.database.family(table), key)
            .map_err(unreadable)
    }

    fn scan(&self, table: Table, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), ReadError> {
        let family = self.database.family(table);
        walk(
            self.snapshot.raw_iterator_cf_opt(family, bounds(range)),
            range,
            visit,
        )
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
    let ours = Table::ALL.iter().map(|table| table.name().to_owned());
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
