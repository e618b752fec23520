//! Writes a pack index, version 2 (gitformat-pack(5)).

use super::pack::PackEntry;
use gix_hash::ObjectId;
use std::io::{self, Write};

/// Offsets from here on stand in the table of 64-bit offsets.
const LARGE: u64 = 1 << 31;

/// Writes the index of the pack that ends in `trailer`.
pub(super) fn write(
    out: &mut impl Write,
    mut entries: Vec<PackEntry>,
    trailer: ObjectId,
) -> io::Result<()> {
    entries.sort_unstable_by_key(|e| e.oid);
    let mut idx = Vec::from(*b"\xfftOc\0\0\0\x02");
    for count in fanout(&entries) {
        idx.extend(count.to_be_bytes());
    }
    for entry in &entries {
        idx.extend(entry.oid.as_slice());
    }
    for entry in &entries {
        idx.extend(entry.crc.to_be_bytes());
    }
    push_offsets(&mut idx, &entries);
    idx.extend(trailer.as_slice());
    let mut hasher = gix_hash::hasher(trailer.kind());
    hasher.update(&idx);
    let checksum = hasher.try_finalize().map_err(io::Error::other)?;
    idx.extend(checksum.as_slice());
    out.write_all(&idx)
}

/// For each first byte, how many objects have that or a smaller one.
fn fanout(entries: &[PackEntry]) -> [u32; 256] {
    let mut counts = [0u32; 256];
    for entry in entries {
        counts[entry.oid.first_byte() as usize] += 1;
    }
    for i in 1..256 {
        counts[i] += counts[i - 1];
    }
    counts
}

fn push_offsets(idx: &mut Vec<u8>, entries: &[PackEntry]) {
    let large: Vec<u64> = entries
        .iter()
        .map(|e| e.offset)
        .filter(|o| *o >= LARGE)
        .collect();
    let mut next_large = 0;
    for entry in entries {
        let short = if entry.offset < LARGE {
            entry.offset as u32
        } else {
            next_large += 1;
            LARGE as u32 | (next_large - 1)
        };
        idx.extend(short.to_be_bytes());
    }
    for offset in large {
        idx.extend(offset.to_be_bytes());
    }
}
