//! Whatever is read in whatever order, from however small a cache, over however
//! rotten a disk: the bytes are the source's.

use crate::support::{MemStore, config, data_files, noise, object};
use gitmoor_store::block_cache::BlockCache;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::FileExt;

const BLOCK: u32 = 32 << 10;
const SIZE: usize = 9 << 20;

#[derive(Clone, Debug)]
enum Step {
    Read {
        at: u64,
        len: usize,
    },
    /// Flips a byte of the data file, where blocks were not proved yet: right
    /// after the cache was opened again.
    ReopenAndRot {
        at: Vec<u64>,
    },
    /// The next GET that holds this byte has it wrong.
    Spoil {
        at: u64,
    },
    Forget,
    FetchAll,
}

fn step() -> impl Strategy<Value = Step> {
    let at = 0..SIZE as u64;
    prop_oneof![
        8 => (at.clone(), 1..2_000_000usize).prop_map(|(at, len)| Step::Read { at, len }),
        8 => (at.clone(), 1..5_000usize).prop_map(|(at, len)| Step::Read { at, len }),
        2 => prop::collection::vec(at.clone(), 0..6).prop_map(|at| Step::ReopenAndRot { at }),
        2 => at.prop_map(|at| Step::Spoil { at }),
        1 => Just(Step::Forget),
        1 => Just(Step::FetchAll),
    ]
}

fn rot(dir: &std::path::Path, offsets: &[u64]) {
    for path in data_files(dir) {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .expect("opens");
        for at in offsets {
            let mut byte = [0];
            if file.read_at(&mut byte, *at).expect("reads") == 1 {
                file.write_all_at(&[byte[0] ^ 1], *at).expect("writes");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn reads_are_the_source(max in 0u64..(12 << 20), steps in prop::collection::vec(step(), 1..25)) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let bytes = noise(SIZE);
        let object = object("k", &bytes, BLOCK);
        let store = MemStore::new("k", &bytes);
        let open = || BlockCache::open(config(dir.path(), max), store.clone()).expect("opens");
        let mut cache = open();
        for step in steps {
            match step {
                Step::Read { at, len } => {
                    let read = cache.file(object.clone()).expect("opens").read(at, len);
                    let end = (at as usize + len).min(SIZE);
                    prop_assert!(read.expect("reads") == bytes[at as usize..end]);
                }
                Step::ReopenAndRot { at } => {
                    drop(cache);
                    rot(dir.path(), &at);
                    cache = open();
                }
                Step::Spoil { at } => store.spoil(at, 1),
                Step::Forget => cache.forget("k"),
                Step::FetchAll => {
                    cache.file(object.clone()).expect("opens").fetch_all().expect("fetches");
                }
            }
            prop_assert!(cache.used_bytes() <= max);
        }
    }
}
