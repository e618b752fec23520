//! Little of everything: no store, a small cache, a small disk, a small staging area, few
//! descriptors, many clients.

mod cache;
mod clients;
mod memory;
mod offline;
mod staging;

use gitmoor_tests::backend::Kind;
use gitmoor_tests::place::Place;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// What is to happen by itself has happened by then.
const BOUND: Duration = Duration::from_secs(60);

/// A mount over the server that counts, with these settings.
fn place(toml: &str) -> Place {
    Place::set(Kind::S3s, toml)
}

/// Bytes of the files below a directory that changes meanwhile: what they hold, and what they take of the disk.
fn usage(dir: &Path) -> (u64, u64) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let of = |path: &Path| match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => usage(path),
        Ok(meta) => (meta.len(), meta.blocks() * 512),
        Err(_) => (0, 0),
    };
    entries
        .map(|entry| of(&entry.path()))
        .fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
}
