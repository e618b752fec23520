//! A cache directory as a crash, a full disk or another program left it: the cache
//! opens, and serves the source's bytes.

use crate::fields;
use bytes::Bytes;
use gitmoor_store::block_cache::{BlockCache, CacheConfig, CacheObject, digest_file};
use gitmoor_store::object_store::{Body, Listed, ObjectStore, Put, StoreError, Upload, Watch};
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const BLOCK: u32 = 1 << 10;

/// What the cache calls the files of the object, without their endings.
fn name() -> String {
    let hash = blake3::hash(object().key.as_bytes()).to_hex();
    format!("{}/{}", &hash[..2], &hash[..32])
}

/// The map of the object that the cache serves, then names and contents of other files, with 0xff
/// between them all.
pub fn run(data: &[u8]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut fields = fields(data);
    let map = fields.next().unwrap_or_default();
    leave(dir.path(), format!("{}.map", name()).as_bytes(), map);
    leave(dir.path(), format!("{}.data", name()).as_bytes(), &rotten());
    while let (Some(name), Some(content)) = (fields.next(), fields.next()) {
        leave(dir.path(), name, content);
    }
    let config = CacheConfig {
        dir: dir.path().to_path_buf(),
        max_bytes: 1 << 20,
        free_floor_bytes: 0,
        read_timeout: Duration::from_secs(5),
    };
    let cache = BlockCache::open(config, Arc::new(Source)).expect("opens");
    let file = cache.file(object().clone()).expect("opens the object");
    let read = file.read(0, content().len()).expect("reads");
    assert!(read == content(), "the source's bytes");
}

/// Writes a file, if it has a usable name in the directory.
fn leave(dir: &Path, name: &[u8], content: &[u8]) {
    let hostile = name.starts_with(b"/") || name.contains(&0);
    let up = name.split(|&b| b == b'/').any(|part| part == b"..");
    if hostile || up {
        return;
    }
    let path = dir.join(OsStr::from_bytes(name));
    let parent = path.parent().expect("it is below the directory");
    // Impossible names are no leftovers.
    let _ = fs::create_dir_all(parent).and_then(|()| fs::write(&path, content));
}

/// Blocks of which some are right.
fn rotten() -> Vec<u8> {
    let mut bytes = content().to_vec();
    bytes[BLOCK as usize] ^= 1;
    bytes
}

fn content() -> &'static [u8] {
    static CONTENT: OnceLock<Vec<u8>> = OnceLock::new();
    CONTENT.get_or_init(|| {
        let noise = |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
        (0..10 * u64::from(BLOCK) + 7).map(noise).collect()
    })
}

fn object() -> &'static CacheObject {
    static OBJECT: OnceLock<CacheObject> = OnceLock::new();
    OBJECT.get_or_init(|| {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(content()).expect("writes");
        let size = content().len() as u64;
        let (digest, blocks) = digest_file(&file, size, BLOCK).expect("digests");
        CacheObject {
            key: "k".to_owned(),
            size,
            digest,
            block_size: BLOCK,
            blocks: blocks.into(),
        }
    })
}

/// The store that has the object.
#[derive(Debug)]
struct Source;

impl ObjectStore for Source {
    fn put(&self, _: &str, _: Body<'_>) -> Result<Put, StoreError> {
        unimplemented!("the cache only reads")
    }

    fn copy(&self, _: &str, _: &str, _: u64, _: &Watch<'_>) -> Result<Put, StoreError> {
        unimplemented!("the cache only reads")
    }

    fn get(&self, _: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        Ok(Bytes::from_static(
            &content()[range.start as usize..range.end as usize],
        ))
    }

    fn get_small(&self, _: &str, _: u64) -> Result<Bytes, StoreError> {
        unimplemented!("the cache knows sizes")
    }

    fn delete(&self, _: &[String]) -> Result<(), StoreError> {
        unimplemented!("the cache only reads")
    }

    fn list(&self, _: &str, _: &mut (dyn FnMut(Listed) + Send)) -> Result<(), StoreError> {
        unimplemented!("the cache only reads")
    }

    fn abort(&self, _: &Upload) -> Result<(), StoreError> {
        unimplemented!("the cache only reads")
    }

    fn refuses_overwrite(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        "the source".to_owned()
    }
}
