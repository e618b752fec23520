//! What the cache keeps, gives away and takes in: limits, eviction, passthrough, adoption.

use crate::support::{MemStore, config, data_files, noise, object, open};
use crate::{BLOCK, MIB};
use gitmoor_store::block_cache::BlockCache;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

#[test]
fn the_cache_stays_within_its_limit() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = noise(32 * MIB as usize);
    let store = MemStore::new("k", &bytes);
    let cache = BlockCache::open(config(dir.path(), 10 * MIB), store.clone()).expect("opens");
    let file = cache
        .file(object("k", &bytes, BLOCK as u32))
        .expect("opens");
    for at in (0..bytes.len()).step_by(MIB as usize) {
        assert_eq!(
            file.read(at as u64, 1 << 20).expect("reads"),
            bytes[at..at + (1 << 20)]
        );
        assert!(cache.used_bytes() <= 10 * MIB);
        let allocated = fs::metadata(&data_files(dir.path())[0])
            .expect("is there")
            .blocks()
            * 512;
        assert!(allocated <= 10 * MIB + BLOCK, "{allocated} on the disk");
    }
    assert!(!file.has(0, 1), "the beginning was evicted");
    store.take_gets();
    assert_eq!(file.read(0, 100).expect("reads"), bytes[..100]);
    assert_eq!(store.take_gets().len(), 1);
    drop(file);
    let reopened = BlockCache::open(config(dir.path(), 2 * MIB), store.clone()).expect("opens");
    assert!(
        reopened.used_bytes() <= 2 * MIB,
        "a smaller limit holds at once"
    );
}

#[test]
fn recently_used_segments_stay() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = noise(32 * MIB as usize);
    let store = MemStore::new("k", &bytes);
    let cache = BlockCache::open(config(dir.path(), 12 * MIB), store.clone()).expect("opens");
    let file = cache
        .file(object("k", &bytes, BLOCK as u32))
        .expect("opens");
    for at in (4 * MIB..32 * MIB).step_by(4 * MIB as usize) {
        file.read(0, 10).expect("reads");
        file.read(at, 4 << 20).expect("reads");
    }
    let first = store
        .take_gets()
        .into_iter()
        .filter(|(start, _)| *start == 0)
        .count();
    assert_eq!(first, 1, "it was used all the time, so it was fetched once");
}

/// git may have mapped a pack before it was published, and goes on reading it.
#[test]
fn an_adopted_file_is_never_punched() {
    for (size, limit) in [(BLOCK / 2, 4096), (5 * MIB, MIB)] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let bytes = noise(size as usize);
        let (store, cache_dir) = (MemStore::new("k", &bytes), dir.path().join("cache"));
        let cache = BlockCache::open(config(&cache_dir, limit), store).expect("opens");
        let staged = dir.path().join("staged");
        fs::write(&staged, &bytes).expect("writes");
        let reader = fs::File::open(&staged).expect("opens");
        let object = object("k", &bytes, BLOCK as u32);
        cache.adopt(&object, &staged).expect("takes it");
        assert!(cache.used_bytes() <= limit, "some of it was evicted");
        let mut seen = vec![0; bytes.len()];
        reader.read_exact_at(&mut seen, 0).expect("reads");
        assert!(seen == bytes, "of {size} bytes");
    }
}

#[test]
fn a_passthrough_file_is_never_punched() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = noise(5 * MIB as usize);
    let store = MemStore::new("k", &bytes);
    let cache = BlockCache::open(config(dir.path(), 10 * MIB), store.clone()).expect("opens");
    let file = cache
        .file(object("k", &bytes, BLOCK as u32))
        .expect("opens");
    assert!(file.complete().is_none());
    assert!(file.fetch_all().expect("fetches"));
    assert_eq!(store.take_gets(), [(0, 5 * MIB)]);
    let backing = file.complete().expect("all is there");
    assert!(Arc::ptr_eq(&backing, &file.complete().expect("still")));
    assert!(backing.write_at(b"x", 0).is_err(), "it is read-only");

    cache.forget("k");
    let mut read = Vec::new();
    (&*backing).read_to_end(&mut read).expect("reads");
    assert!(read == bytes);
    assert!(file.complete().is_some());
    drop((file, backing));
    assert_eq!(data_files(dir.path()).len(), 0);
    assert_eq!(cache.used_bytes(), 0);
}

#[test]
fn eviction_dooms_a_passthrough_file() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = noise(9 * MIB as usize);
    let store = MemStore::new("k", &bytes);
    let cache = BlockCache::open(config(dir.path(), 20 * MIB), store.clone()).expect("opens");
    let pinned = cache
        .file(object("k", &bytes, BLOCK as u32))
        .expect("opens");
    pinned.fetch_all().expect("fetches");
    let backing = pinned.complete().expect("all is there");
    for n in 0..3 {
        let path = dir.path().join("adopted");
        fs::write(&path, &bytes).expect("writes");
        cache
            .adopt(&object(&format!("other{n}"), &bytes, BLOCK as u32), &path)
            .expect("adopts");
    }
    let mut read = vec![0; bytes.len()];
    backing.read_exact_at(&mut read, 0).expect("reads");
    assert!(read == bytes, "no hole in what the kernel reads");
    assert!(pinned.complete().is_some());
    drop(backing);
    drop(pinned);
    let held = data_files(dir.path());
    let allocated: u64 = held
        .iter()
        .map(|p| fs::metadata(p).expect("stat").blocks() * 512)
        .sum();
    assert!(
        allocated <= 20 * MIB,
        "the evicted file went with its last holder: {allocated}"
    );
}

#[test]
fn adopted_files_need_no_request_and_no_second_proof() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = noise(3 * MIB as usize);
    let store = MemStore::new("elsewhere", b"");
    let cache = open(dir.path(), &store);
    for (n, names) in [1, 2].into_iter().enumerate() {
        let path = dir.path().join("mine");
        fs::write(&path, &bytes).expect("writes");
        if names == 2 {
            fs::hard_link(&path, dir.path().join("second-name")).expect("links");
        }
        let object = object(&format!("k{n}"), &bytes, BLOCK as u32);
        cache.adopt(&object, &path).expect("adopts");
        assert!(!path.exists());
        let file = cache.file(object).expect("opens");
        assert!(file.complete().is_some());
        assert_eq!(
            file.read(MIB, 10).expect("reads"),
            bytes[MIB as usize..MIB as usize + 10]
        );
    }
    assert_eq!(cache.used_bytes(), 6 * MIB);
    cache.forget("k0");
    cache.forget("k1");
    assert_eq!(cache.used_bytes(), 0);
    assert!(
        fs::read(dir.path().join("second-name")).expect("reads") == bytes,
        "untouched"
    );
    assert_eq!(store.take_gets(), []);
}

#[test]
fn verify_all_proves_an_earlier_lifes_file() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = noise(3 * MIB as usize);
    let store = MemStore::new("k", &bytes);
    let object = object("k", &bytes, BLOCK as u32);
    open(dir.path(), &store)
        .file(object.clone())
        .expect("opens")
        .fetch_all()
        .expect("fetches");
    let file = open(dir.path(), &store)
        .file(object.clone())
        .expect("opens");
    assert!(file.complete().is_none(), "nothing is proved yet");
    assert!(file.verify_all());
    assert!(file.complete().is_some());
    drop(file);

    let data = fs::OpenOptions::new()
        .write(true)
        .open(&data_files(dir.path())[0])
        .expect("opens");
    data.write_all_at(b"rot", 2 * MIB).expect("writes");
    store.take_gets();
    let file = open(dir.path(), &store).file(object).expect("opens");
    assert!(!file.verify_all());
    file.fetch_all().expect("fetches");
    assert_eq!(store.take_gets(), [(2 * MIB, 2 * MIB + BLOCK)]);
    assert!(file.complete().is_some());
}

#[test]
fn the_free_floor_serves_without_keeping() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let bytes = noise(100_000);
    let store = MemStore::new("k", &bytes);
    let mut config = config(dir.path(), 10 * MIB);
    config.free_floor_bytes = u64::MAX;
    let cache = BlockCache::open(config, store.clone()).expect("opens");
    let file = cache
        .file(object("k", &bytes, BLOCK as u32))
        .expect("opens");
    for _ in 0..2 {
        assert_eq!(
            file.read(70_000, 100).expect("reads"),
            bytes[70_000..70_100]
        );
    }
    assert_eq!(store.take_gets().len(), 2);
    assert_eq!(cache.used_bytes(), 0);
}
