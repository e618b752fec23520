//! What a power failure tore is passed over, what a disk changed is refused.

use gitmoor_replicator::OpenError;
use gitmoor_replicator::state::{Table, View};
use gitmoor_replicator::storage::{Batch, Bootstrap, Database, Stage};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Rows that were synced, hence acknowledged.
const ACKNOWLEDGED: u8 = 5;
const UNSYNCED: &[u8] = b"unsynced";
/// Of RocksDB's logs.
const BLOCK: u64 = 32 << 10;

/// The files of a database as kill -9 leaves them.
struct Image {
    dir: TempDir,
    /// Bytes of the write-ahead log that were synced.
    synced: u64,
}

impl Image {
    /// With acknowledged rows, and then one of this many bytes that was not synced.
    fn new(unsynced: usize) -> Self {
        let origin = tempfile::tempdir().expect("a directory");
        let database = Database::open(origin.path()).expect("opens");
        database.prepare(Bootstrap::Create(1)).expect("is new");
        for row in 0..ACKNOWLEDGED {
            put(&database, &[row], &[row; 20], true);
        }
        let synced = size(&log(origin.path()));
        if unsynced > 0 {
            put(&database, UNSYNCED, &vec![7; unsynced], false);
        }
        let dir = copy(origin.path());
        Self { dir, synced }
    }

    /// Opens a copy after a change of its log; whether the last row is in it.
    fn opens_after(&self, change: impl FnOnce(&fs::File)) -> bool {
        let dir = copy(self.dir.path());
        change(&file(&log(dir.path())));
        let database = Database::open(dir.path()).expect("opens");
        assert_acknowledged(&database);
        let unsynced = database.get(Table::Names, UNSYNCED).expect("reads");
        unsynced.is_some()
    }

    fn size(&self) -> u64 {
        size(&log(self.dir.path()))
    }

    fn refusal(&self) -> String {
        match Database::open(self.dir.path()).err() {
            Some(OpenError::Damaged { what, .. }) => what,
            other => panic!("not refused: {other:?}"),
        }
    }
}

fn put(database: &Database, key: &[u8], value: &[u8], sync: bool) {
    let mut batch = Batch::new(database);
    batch.put(Table::Names, key, value);
    database.write(batch, sync).expect("writes");
}

fn assert_acknowledged(database: &Database) {
    for row in 0..ACKNOWLEDGED {
        let value = database.get(Table::Names, &[row]).expect("reads");
        assert_eq!(value, Some(vec![row; 20]), "row {row}");
    }
}

fn copy(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    for entry in fs::read_dir(dir).expect("is there") {
        let entry = entry.expect("entry");
        fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copies");
    }
    copy
}

fn named(dir: &Path, is: impl Fn(&str) -> bool) -> PathBuf {
    let entries = fs::read_dir(dir).expect("is there");
    let mut paths = entries.map(|entry| entry.expect("entry").path());
    let found = paths.find(|path| path.file_name().and_then(|n| n.to_str()).is_some_and(&is));
    found.expect("every database has one")
}

fn log(dir: &Path) -> PathBuf {
    named(dir, |name| name.ends_with(".log"))
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).expect("is there").len()
}

fn file(path: &Path) -> fs::File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).open(path).expect("opens")
}

fn zero(file: &fs::File, from: u64, to: u64) {
    file.write_all_at(&vec![0; (to - from) as usize], from)
        .expect("writes");
}

#[test]
fn a_write_that_was_cut_short_is_passed_over() {
    let image = Image::new(20);
    for length in image.synced..image.size() {
        assert!(!image.opens_after(|log| log.set_len(length).expect("cuts")));
    }
    assert!(image.opens_after(|_| {}), "all of it");
}

/// Its parts are records of their own, one a block.
#[test]
fn a_long_write_that_was_cut_short_is_passed_over() {
    let image = Image::new(3 * BLOCK as usize);
    for length in [-8, -1, 0, 1, 6, 7, 8].map(|by| (2 * BLOCK).strict_add_signed(by)) {
        assert!(!image.opens_after(|log| log.set_len(length).expect("cuts")));
    }
    assert!(image.opens_after(|_| {}), "all of it");
}

/// The file has its new size, the last sectors were not written.
#[test]
fn a_write_of_which_sectors_are_missing_is_passed_over() {
    let image = Image::new(4000);
    let (first, size) = (image.synced.next_multiple_of(512), image.size());
    for from in (first..size).step_by(512).chain([image.synced]) {
        assert!(!image.opens_after(|log| zero(log, from, size)), "{from}");
        // Files grow by pages.
        let grown = size.next_multiple_of(4096);
        assert!(!image.opens_after(|log| zero(log, from, grown)), "{from}");
    }
    let image = Image::new(3 * BLOCK as usize);
    let size = image.size();
    for from in [BLOCK, BLOCK + 512, 2 * BLOCK - 512] {
        assert!(!image.opens_after(|log| zero(log, from, size)), "{from}");
    }
}

/// Every bit of the log, of the manifest, and of the file that names it.
#[test]
fn a_flipped_bit_is_refused() {
    let image = Image::new(0);
    let dir = image.dir.path();
    let manifest = named(dir, |name| name.starts_with("MANIFEST"));
    for path in [log(dir), manifest, dir.join("CURRENT")] {
        let bytes = fs::read(&path).expect("reads");
        let file = file(&path);
        for (at, byte) in bytes.iter().enumerate() {
            for bit in 0..8 {
                file.write_all_at(&[byte ^ 1 << bit], at as u64)
                    .expect("writes");
                let said = image.refusal();
                let name = path.display().to_string();
                assert!(said.contains(&name), "byte {at}, bit {bit}: {said}");
            }
            file.write_all_at(&[*byte], at as u64).expect("writes");
        }
    }
    assert!(!image.opens_after(|_| {}), "restored, with every row");
}

/// Sectors that a disk lost in the middle, and not at the end.
#[test]
fn zeros_before_whole_records_are_refused() {
    let image = Image::new(4000);
    let log = log(image.dir.path());
    let whole = fs::read(&log).expect("reads");
    zero(&file(&log), 0, image.synced);
    assert!(
        image.refusal().contains("byte 0"),
        "the unsynced row follows"
    );
    fs::write(&log, &whole).expect("writes");
    zero(&file(&log), image.synced + 600, image.synced + 1200);
    image.refusal();
}

#[test]
fn a_log_that_was_cut_short_before_another_is_refused() {
    let image = Image::new(0);
    let first = log(image.dir.path());
    fs::copy(&first, first.with_file_name("999999.log")).expect("copies");
    let cut = file(&first);
    cut.set_len(image.synced - 3).expect("cuts");
    assert!(image.refusal().contains("999999.log"));
}

#[test]
fn a_directory_that_lost_the_name_of_its_manifest_is_not_taken_for_new() {
    let image = Image::new(0);
    fs::remove_file(image.dir.path().join("CURRENT")).expect("removes");
    assert!(image.refusal().contains("CURRENT"));
}
