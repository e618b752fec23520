//! Fuzz targets: everything that parses bytes from outside. Outside is whatever this
//! process did not just write itself: other nodes, the store, disks, git, people.
//!
//! A target is a function of bytes that panics when a property is broken. The same
//! function runs in two ways:
//!
//! - as an ordinary test, with the corpus and a fixed number of mutations of it,
//!   the same in every run (`tests/short.rs`);
//! - under libFuzzer, for as long as one likes (`scripts/fuzz.sh`), which
//!   grows the corpus by coverage.
//!
//! The corpus is small and kept by hand: seeds of every form, and each input that
//! once broke something.

pub mod admin;
pub mod cache_dir;
pub mod commands;
pub mod config;
pub mod door;
pub mod entries;
pub mod idx;
pub mod loose;
pub mod marker;
pub mod mutate;
pub mod names;
pub mod pack_index;
pub mod packed_refs;
pub mod peers;
pub mod rows;
pub mod s3_answer;
pub mod settings;
pub mod snapshot;
pub mod tables;
pub mod trailer;

/// The input cut at each byte 0xff, which no text and no name in tests needs.
fn fields(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|&byte| byte == 0xff)
}
