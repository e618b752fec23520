//! How far to reach when a pack index is read in places (gitformat-pack(5),
//! version 2): looking up an object is a binary search in a window of the sorted
//! ids, then one entry of the table of offsets. Each is one request to the store
//! if the first read there brings its neighbours along.

use std::ops::Range;

/// Most bytes of one reach; bigger tables are read block by block.
const MOST: u64 = 4 << 20;

/// Bytes around a read in the table of ids.
const AROUND: u64 = 128 << 10;

/// The tables of an index.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    size: u64,
    /// From here to the end: offsets and trailer.
    offsets: u64,
}

impl Tables {
    /// Of an index of this many bytes, with ids of `hash` bytes.
    pub fn new(size: u64, hash: u64) -> Self {
        // Magic and version, 256 counts; per object an id, a CRC-32 and an
        // offset; two checksums.
        let (head, tail) = (8 + 256 * 4, 2 * hash);
        let objects = size.saturating_sub(head + tail) / (hash + 8);
        Self {
            size,
            offsets: head + objects * (hash + 4),
        }
    }

    /// What to read when `wanted` has to be asked of the store.
    pub fn reach(&self, wanted: Range<u64>) -> Range<u64> {
        // git compares the checksums at the end when it opens the pack, whatever it reads of that then. The kernel asks
        // for the pages before them too.
        if wanted.end == self.size && self.size - wanted.start <= AROUND {
            return wanted;
        }
        if wanted.start >= self.offsets && self.size - self.offsets <= MOST {
            return self.offsets..self.size;
        }
        // The counts at the beginning are read alone.
        if wanted.start < AROUND {
            return wanted;
        }
        let middle = wanted.start.midpoint(wanted.end);
        let start = middle.saturating_sub(AROUND).min(wanted.start);
        start..middle.saturating_add(AROUND).max(wanted.end).min(self.size)
    }
}
