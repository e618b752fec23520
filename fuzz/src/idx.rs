//! How far a read in a pack index reaches, for any size that a catalog states.

use gitmoor_fs::parsers::idx::Tables;

/// Bytes that one read may bring along: a table, or its surroundings.
const MOST: u64 = 5 << 20;

/// Size, start, length (8 bytes each, big-endian); the first byte after them chooses the hash.
pub fn run(data: &[u8]) {
    let number = |at: usize| Some(u64::from_be_bytes(*data.get(at..)?.first_chunk()?));
    let (Some(size), Some(start), Some(len)) = (number(0), number(8), number(16)) else {
        return;
    };
    let hash = if data.get(24).is_some_and(|b| b % 2 == 1) {
        32
    } else {
        20
    };
    // The caller cuts what is wanted at the end of the file, and wants something.
    let wanted = start.min(size)..start.saturating_add(len.min(1 << 20)).min(size);
    if wanted.is_empty() {
        return;
    }
    let reach = Tables::new(size, hash).reach(wanted.clone());
    assert!(reach.start <= wanted.start && reach.end >= wanted.end);
    assert!(reach.end <= size, "not beyond the end");
    assert!(reach.end - reach.start <= MOST, "it does not read it all");
}
