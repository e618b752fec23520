//! The directory store against the promises of `ObjectStore`.

use bytes::Bytes;
use gitmoor_store::object_store::{Body, DirStore, ObjectStore, Put, StoreError};
use std::fs::{self, File};
use std::io::Write;
use std::sync::Barrier;
use std::thread;

fn store() -> (tempfile::TempDir, DirStore) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = DirStore::open(dir.path().join("store")).expect("opens");
    (dir, store)
}

fn put(store: &DirStore, key: &str, bytes: &'static [u8]) -> Put {
    store
        .put(key, Body::Bytes(Bytes::from_static(bytes)))
        .expect("puts")
}

#[test]
fn a_key_is_written_once() {
    let (_dir, store) = store();
    assert_eq!(put(&store, "a/objects/pack/x", b"first"), Put::Stored);
    assert_eq!(put(&store, "a/objects/pack/x", b"other"), Put::Exists);
    assert_eq!(store.get("a/objects/pack/x", 0..5).expect("reads"), "first");
    assert!(store.refuses_overwrite());
}

#[test]
fn of_many_writers_of_a_key_one_wins_whole() {
    let (_dir, store) = store();
    let start = Barrier::new(8);
    let puts: Vec<Put> = thread::scope(|scope| {
        let writers: Vec<_> = (0..8u8)
            .map(|n| {
                let (store, start) = (&store, &start);
                scope.spawn(move || {
                    start.wait();
                    let body = Body::Bytes(Bytes::from(vec![n; 100_000]));
                    store.put("new/dir/key", body).expect("puts")
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|w| w.join().expect("no panic"))
            .collect()
    });
    assert_eq!(puts.iter().filter(|p| **p == Put::Stored).count(), 1);
    let bytes = store.get("new/dir/key", 0..100_000).expect("reads");
    assert!(
        bytes.iter().all(|b| *b == bytes[0]),
        "bytes of one writer only"
    );
}

#[test]
fn ranges_and_files() {
    let (dir, store) = store();
    let path = dir.path().join("file");
    let content: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    File::create(&path)
        .and_then(|mut f| f.write_all(&content))
        .expect("writes");
    let file = File::open(&path).expect("opens");
    let body = Body::File {
        file: &file,
        len: content.len() as u64,
    };
    assert_eq!(store.put("k", body).expect("puts"), Put::Stored);
    assert_eq!(
        store.get("k", 1_000_001..2_500_000).expect("reads"),
        content[1_000_001..2_500_000]
    );
    assert!(matches!(
        store.get("k", 2_999_999..3_000_001),
        Err(StoreError::Local { .. })
    ));
}

#[test]
fn absent_keys() {
    let (_dir, store) = store();
    assert!(
        matches!(store.get("a/b", 0..1), Err(StoreError::NotFound { key, .. }) if key == "a/b")
    );
    put(&store, "a/b", b"x");
    store
        .delete(&["nothing".into(), "a/b".into(), "a/c".into()])
        .expect("absent keys are fine");
    assert!(matches!(
        store.get("a/b", 0..1),
        Err(StoreError::NotFound { .. })
    ));
    assert_eq!(put(&store, "a/b", b"y"), Put::Stored);
}

#[test]
fn hostile_keys_touch_nothing() {
    let (dir, store) = store();
    fs::write(dir.path().join("outside"), "precious").expect("writes");
    let long = "x/".repeat(600) + "x";
    for key in [
        "",
        "/etc/passwd",
        "../outside",
        "a/../../outside",
        "a//b",
        "a/",
        "./a",
        "a\0b",
        &long,
        ".gitmoor-tmp/x",
    ] {
        let refused = |r: Result<(), StoreError>| matches!(r, Err(StoreError::Refused { .. }));
        assert!(refused(store.get(key, 0..1).map(drop)), "GET {key:?}");
        assert!(
            refused(store.put(key, Body::Bytes(Bytes::new())).map(drop)),
            "PUT {key:?}"
        );
        assert!(refused(store.delete(&[key.to_string()])), "DELETE {key:?}");
    }
    assert_eq!(
        fs::read(dir.path().join("outside")).expect("is there"),
        b"precious"
    );
}

#[test]
fn leftovers_of_a_crash_are_cleared_and_objects_stay() {
    let (dir, store) = store();
    put(&store, "a/b", b"kept");
    drop(store);
    let leftover = dir.path().join("store/.gitmoor-tmp/half");
    fs::write(&leftover, "half").expect("writes");
    let store = DirStore::open(dir.path().join("store")).expect("opens again");
    assert!(!leftover.exists());
    assert_eq!(store.get("a/b", 0..4).expect("reads"), "kept");
}
