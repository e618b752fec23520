//! How much to fetch at a miss: one block, and twice as much each time when the
//! misses follow each other. It looks at misses only, so parallel and reordered
//! reads of the kernel do not disturb it.

use super::layout::Layout;

/// Most bytes of one fetch.
pub(super) const MAX_FETCH: u64 = 8 << 20;

/// Files up to this many bytes are fetched whole: the bytes cost less than the
/// next round trip.
pub(super) const WHOLE: u64 = 1 << 20;

/// The run of misses in one file.
#[derive(Default)]
pub(super) struct Readahead {
    /// The block after the last fetch.
    next: u32,
    /// Blocks of the last fetch; 0 before the first.
    window: u32,
}

impl Readahead {
    /// How many blocks to fetch when `first` is missing and `wanted` blocks from
    /// there are asked for.
    pub(super) fn plan(&mut self, layout: &Layout, first: u32, wanted: u32) -> u32 {
        let left = layout.blocks() - first;
        if layout.size <= WHOLE {
            return left;
        }
        let most = layout.run_of(MAX_FETCH);
        self.window = if first == self.next {
            (self.window * 2).clamp(1, most)
        } else {
            1
        };
        let run = self.window.max(wanted).min(most).min(left);
        self.window = run;
        self.next = first + run;
        run
    }
}
