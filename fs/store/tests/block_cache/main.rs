//! The block cache against the bytes of its store.

mod keeping;
mod property;
mod support;

use gitmoor_store::block_cache::{BlockCache, CacheError, CacheReadError, block_size_for};
use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use support::{MemStore, config, data_files, noise, object, open};

pub(crate) const BLOCK: u64 = 64 << 10;
pub(crate) const MIB: u64 = 1 << 20;

#[test]
fn small_objects_come_whole_in_one_get() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = noise(1_000_000);
    let store = MemStore::new("k", &bytes);
    let file = open(dir.path(), &store)
        .file(object("k", &bytes, BLOCK as u32))
        .expect("opens");
    assert!(!file.has(0, 1));
    assert_eq!(file.read(10, 20).expect("reads"), bytes[10..30]);
    assert_eq!(store.take_gets(), [(0, 1_000_000)]);
    assert!(file.has(0, 1_000_000));
    assert_eq!(file.read(0, 2_000_000).expect("reads"), bytes);
    assert_eq!(
        file.read(1_000_000, 1).expect("reads"),
        "",
        "nothing behind the end"
    );
    assert_eq!(file.read(u64::MAX, usize::MAX).expect("reads"), "");
    assert_eq!(store.take_gets(), []);
}

#[test]
fn random_reads_fetch_their_block_only() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = noise(10 * MIB as usize);
    let store = MemStore::new("k", &bytes);
    let file = open(dir.path(), &store)
        .file(object("k", &bytes, BLOCK as u32))
        .expect("opens");
    for block in [50, 7, 100] {
        let at = (block * BLOCK + 5) as usize;
        assert_eq!(
            file.read(at as u64, 100).expect("reads"),
            bytes[at..at + 100]
        );
        assert_eq!(store.take_gets(), [(block * BLOCK, (block + 1) * BLOCK)]);
    }
    // Across two blocks of which one is there.
    let at = (101 * BLOCK - 10) as usize;
    assert_eq!(file.read(at as u64, 20).expect("reads"), bytes[at..at + 20]);
    assert_eq!(store.take_gets().len(), 1);
}

#[test]
fn sequential_reads_double() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = noise(40 * MIB as usize);
    let store = MemStore::new("k", &bytes);
    let file = open(dir.path(), &store)
        .file(object("k", &bytes, BLOCK as u32))
        .expect("opens");
    for at in (0..bytes.len()).step_by(128 << 10) {
        assert_eq!(
            file.read(at as u64, 128 << 10).expect("reads"),
            bytes[at..at + (128 << 10)]
        );
    }
    let sizes: Vec<u64> = store
        .take_gets()
        .iter()
        .map(|(start, end)| (end - start) / BLOCK)
        .collect();
    assert_eq!(sizes, [2, 4, 8, 16, 32, 64, 128, 128, 128, 128, 2]);
}

#[test]
fn concurrent_readers_share_one_fetch() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = noise(4 * MIB as usize);
    let store = MemStore::new("k", &bytes);
    let cache = open(dir.path(), &store);
    let file = cache
        .file(object("k", &bytes, BLOCK as u32))
        .expect("opens");
    assert!(Arc::ptr_eq(
        &file,
        &cache.file(file.object().clone()).expect("opens")
    ));
    store.hold();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(file.read(0, 1000).expect("reads"), bytes[..1000]));
        }
        while cache.waits().len() < 8 {
            thread::yield_now();
        }
        assert!(cache.waits()[0].contains("reading k waits for memory"));
        store.let_go();
    });
    assert_eq!(store.take_gets(), [(0, BLOCK)]);
    assert!(cache.waits().is_empty());
}

/// Runs of readahead meet each other and blocks that have just come. Each round is another
/// interleaving; in none may a block come twice.
#[test]
fn readers_everywhere_fetch_each_block_once() {
    let bytes = noise(4 * MIB as usize);
    let object = object("k", &bytes, BLOCK as u32);
    for round in 0..100 {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = MemStore::new("k", &bytes);
        let file = open(dir.path(), &store).file(object.clone());
        let file = file.expect("opens");
        thread::scope(|scope| {
            for reader in 0..8 {
                let file = &file;
                scope.spawn(move || {
                    for n in 0..64 {
                        let block = (n + reader * 5 + round) % 64;
                        file.read(block * BLOCK, BLOCK as usize).expect("reads");
                    }
                });
            }
        });
        let gets = store.take_gets();
        let fetched: u64 = gets.iter().map(|(start, end)| end - start).sum();
        assert_eq!(fetched, 4 * MIB, "round {round}: {gets:?}");
    }
}

#[test]
fn the_next_life_finds_the_blocks_and_proves_them() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = noise(4 * MIB as usize);
    let store = MemStore::new("k", &bytes);
    let object = object("k", &bytes, BLOCK as u32);
    open(dir.path(), &store)
        .file(object.clone())
        .expect("opens")
        .read(0, 200_000)
        .expect("reads");
    store.take_gets();

    let used = open(dir.path(), &store).used_bytes();
    assert_eq!(used, 4 * BLOCK);
    let path = data_files(dir.path()).pop().expect("a data file");
    let data = fs::OpenOptions::new()
        .write(true)
        .open(path)
        .expect("opens");
    data.write_all_at(b"rot", BLOCK + 17).expect("writes");
    let file = open(dir.path(), &store).file(object).expect("opens");
    assert_eq!(file.read(0, 200_000).expect("reads"), bytes[..200_000]);
    assert_eq!(
        store.take_gets(),
        [(BLOCK, 2 * BLOCK)],
        "only the rotten block is fetched"
    );
}

#[test]
fn what_the_store_gives_wrong_is_never_served_nor_kept() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = noise(4 * MIB as usize);
    let store = MemStore::new("k", &bytes);
    let cache = open(dir.path(), &store);
    let file = cache
        .file(object("k", &bytes, BLOCK as u32))
        .expect("opens");
    store.spoil(5, 1);
    assert_eq!(
        file.read(0, 10).expect("the second GET is right"),
        bytes[..10]
    );
    assert_eq!(store.take_gets().len(), 2);

    store.spoil(10 * BLOCK + 5, 2);
    let failed = file.read(10 * BLOCK, 10);
    assert!(
        matches!(failed, Err(CacheReadError::Corrupt { block: 10, .. })),
        "{failed:?}"
    );
    assert_eq!(store.take_gets().len(), 2);
    assert!(!file.has(10 * BLOCK, 1));
    assert_eq!(
        file.read(10 * BLOCK, 10).expect("it is right now"),
        bytes[655_360..655_370]
    );

    // A wrong block that was only read ahead fails nobody.
    store.spoil(52 * BLOCK, 2);
    assert_eq!(file.read(50 * BLOCK, 10).expect("reads").len(), 10);
    assert_eq!(file.read(51 * BLOCK, 10).expect("reads").len(), 10);
    assert!(file.has(50 * BLOCK, 2 * BLOCK as usize) && !file.has(52 * BLOCK, 1));
}

#[test]
fn an_outage_is_waited_out() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = noise(1000);
    let store = MemStore::new("k", &bytes);
    let cache = open(dir.path(), &store);
    let file = cache
        .file(object("k", &bytes, BLOCK as u32))
        .expect("opens");
    store.set_down(true);
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(file.read(0, 1000).expect("reads"), bytes));
        while !cache.waits().iter().any(|w| w.contains("it is down")) {
            thread::yield_now();
        }
        store.set_down(false);
    });
}

#[test]
fn an_outage_longer_than_the_timeout_is_an_error() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = noise(1000);
    let store = MemStore::new("k", &bytes);
    store.set_down(true);
    let mut config = config(dir.path(), MIB);
    config.read_timeout = Duration::from_millis(600);
    let cache = BlockCache::open(config, store.clone()).expect("opens");
    let file = cache
        .file(object("k", &bytes, BLOCK as u32))
        .expect("opens");
    let failed = file.read(0, 1);
    assert!(
        matches!(&failed, Err(CacheReadError::TimedOut { reason, .. }) if reason.contains("it is down")),
        "{failed:?}"
    );
    store.set_down(false);
    assert_eq!(
        file.read(0, 1000).expect("reads"),
        bytes,
        "the failure is not remembered"
    );
}

#[test]
fn a_missing_object_and_a_wrong_description_fail_at_once() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = noise(200_000);
    let store = MemStore::new("k", &bytes);
    let cache = open(dir.path(), &store);
    let file = cache
        .file(object("other", &bytes, BLOCK as u32))
        .expect("opens");
    assert!(matches!(file.read(0, 1), Err(CacheReadError::Store(_))));
    let mut wrong = object("k", &bytes, BLOCK as u32);
    wrong.blocks = wrong.blocks[..2].into();
    assert!(matches!(
        cache.file(wrong),
        Err(CacheError::BadObject {
            expected: 4,
            actual: 2,
            ..
        })
    ));
}

#[test]
fn empty_objects() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = MemStore::new("k", b"");
    let file = open(dir.path(), &store)
        .file(object("k", b"", BLOCK as u32))
        .expect("opens");
    assert_eq!(file.read(0, 10).expect("reads"), "");
    assert!(file.has(0, 10) && file.verify_all() && file.complete().is_some());
    assert!(file.fetch_all().expect("nothing to do"));
    assert_eq!(store.take_gets(), []);
}

#[test]
fn block_sizes() {
    const GIB: u64 = 1 << 30;
    for (len, size) in [
        (0, 256 << 10),
        (4 * GIB, 256 << 10),
        (4 * GIB + 1, 512 << 10),
        (1000 * GIB, 64 << 20),
    ] {
        assert_eq!(block_size_for(len), size, "{len}");
        assert!(len.div_ceil(u64::from(size)) <= 16_384);
    }
}

#[test]
fn garbage_in_the_directory_is_survived() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = noise(3 * MIB as usize);
    let store = MemStore::new("k", &bytes);
    let object = object("k", &bytes, BLOCK as u32);
    open(dir.path(), &store)
        .file(object.clone())
        .expect("opens")
        .fetch_all()
        .expect("fetches");
    let map = data_files(dir.path())[0].with_extension("map");
    let good = fs::read(&map).expect("reads");
    for damage in [
        &b""[..],
        b"not a map",
        &good[..20],
        &good[..good.len() - 1],
        &[0xff; 100],
    ] {
        fs::write(&map, damage).expect("writes");
        let file = open(dir.path(), &store)
            .file(object.clone())
            .expect("opens");
        assert_eq!(
            file.read(MIB, 100).expect("reads"),
            bytes[1_048_576..1_048_676]
        );
        file.fetch_all().expect("fetches");
    }
    fs::remove_file(&map).expect("removes");
    let file = open(dir.path(), &store).file(object).expect("opens");
    assert_eq!(
        file.read(MIB, 100).expect("reads"),
        bytes[1_048_576..1_048_676]
    );
}
