//! How a file is cut: into blocks, which are fetched and proved one by one, and
//! into segments of blocks, which are evicted one by one.

use super::CacheObject;
use std::ops::Range;

/// Bytes per segment, unless a single block is larger. Small enough that a
/// cache smaller than a pack still keeps the pack's hot parts; large enough that
/// a full cache of hundreds of gigabytes has an index of some ten thousand entries.
const SEGMENT: u64 = 4 << 20;

/// Sizes of one file, its blocks and its segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    pub(super) size: u64,
    /// At least 1; the file's own size when that is smaller than its block size.
    pub(super) block_size: u64,
}

impl Layout {
    pub(super) fn of(object: &CacheObject) -> Self {
        Self::new(object.size, u64::from(object.block_size))
    }

    /// Files of one block are alike whatever block size they were given.
    pub(super) fn new(size: u64, block_size: u64) -> Self {
        Self {
            size,
            block_size: block_size.min(size).max(1),
        }
    }

    pub(super) fn blocks(&self) -> u32 {
        self.size.div_ceil(self.block_size) as u32
    }

    pub(super) fn is_single(&self) -> bool {
        self.blocks() <= 1
    }

    /// Where a run of blocks lies in the file.
    pub(super) fn bytes_of(&self, blocks: Range<u32>) -> Range<u64> {
        let start = u64::from(blocks.start) * self.block_size;
        start..(u64::from(blocks.end) * self.block_size).min(self.size)
    }

    /// The blocks that hold these bytes. The range ends within the file.
    pub(super) fn blocks_of(&self, bytes: Range<u64>) -> Range<u32> {
        if bytes.is_empty() {
            return 0..0;
        }
        (bytes.start / self.block_size) as u32..bytes.end.div_ceil(self.block_size) as u32
    }

    fn segment_blocks(&self) -> u32 {
        (SEGMENT / self.block_size).clamp(1, u64::from(self.blocks().max(1))) as u32
    }

    pub(super) fn segments(&self) -> u32 {
        self.blocks().div_ceil(self.segment_blocks())
    }

    pub(super) fn segment_of(&self, block: u32) -> u32 {
        block / self.segment_blocks()
    }

    /// The segments that hold these blocks.
    pub(super) fn segments_of(&self, blocks: Range<u32>) -> Range<u32> {
        if blocks.is_empty() {
            return 0..0;
        }
        self.segment_of(blocks.start)..self.segment_of(blocks.end - 1) + 1
    }

    /// The blocks of a segment.
    pub(super) fn segment(&self, segment: u32) -> Range<u32> {
        let per = self.segment_blocks();
        segment * per..((segment + 1) * per).min(self.blocks())
    }

    /// How many blocks of one run make up `bytes`, at least one.
    pub(super) fn run_of(&self, bytes: u64) -> u32 {
        (bytes / self.block_size).max(1) as u32
    }
}
