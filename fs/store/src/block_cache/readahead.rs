//! How much to fetch at a miss. It looks at misses only, so parallel and reordered reads of the kernel do not disturb it.
//!
//! - One block, and twice as much each time when the misses follow each other.
//! - [`NEAR`] when a recent fetch was as near as that. git walks a pack from commit to commit and from tree to tree, in
//!   two or three places at a time; what comes next in each place is a few blocks on.
//! - The rest of an index (of a pack, of all packs, of commits) from the miss on, once the misses have cost as much as
//!   all of its bytes do: an index is searched all over, again and again. So what is fetched of an index costs at most
//!   twice as much as the better of the two ways, whichever that is.

use super::layout::Layout;
use std::collections::VecDeque;
use std::ops::Range;

/// Most bytes of one fetch.
pub(super) const MAX_FETCH: u64 = 8 << 20;

/// Files up to this many bytes are fetched whole: the bytes cost less than the
/// next round trip.
pub(super) const WHOLE: u64 = 1 << 20;

/// What is so many bytes from a recent fetch is near it.
const NEAR: u64 = 2 << 20;

/// Recent fetches that are remembered.
const RECENT: usize = 64;

/// Bytes of an index that cost as much as the round trip of a miss.
const PER_MISS: u64 = 4 << 20;

/// The misses in one file.
#[derive(Default)]
pub(super) struct Readahead {
    /// The block after the last fetch.
    next: u32,
    /// Blocks of the last fetch; 0 before the first.
    window: u32,
    /// The last fetches, the newest first.
    recent: VecDeque<Range<u32>>,
    /// All that there were.
    misses: u64,
}

impl Readahead {
    /// How many blocks to fetch when `first` is missing and `wanted` blocks from
    /// there are asked for.
    pub(super) fn plan(&mut self, layout: &Layout, is_index: bool, first: u32, wanted: u32) -> u32 {
        let left = layout.blocks() - first;
        if layout.size <= WHOLE {
            return left;
        }
        let most = layout.run_of(MAX_FETCH);
        self.misses += 1;
        let window = if is_index && layout.size <= self.misses.saturating_mul(PER_MISS) {
            left
        } else if first == self.next {
            (self.window * 2).max(1)
        } else if self.is_near(first, layout.run_of(NEAR)) {
            layout.run_of(NEAR)
        } else {
            1
        };
        let run = window.max(wanted).min(most).min(left);
        self.remember(first..first + run);
        self.window = run;
        self.next = first + run;
        run
    }

    fn is_near(&self, first: u32, distance: u32) -> bool {
        let around = |run: &Range<u32>| {
            run.start.saturating_sub(distance)..=run.end.saturating_add(distance)
        };
        self.recent.iter().any(|run| around(run).contains(&first))
    }

    fn remember(&mut self, run: Range<u32>) {
        self.recent.truncate(RECENT - 1);
        self.recent.push_front(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 256 << 10;

    fn layout(mib: u64) -> Layout {
        Layout::new(mib << 20, BLOCK)
    }

    /// What is fetched when these blocks are touched in this order: its runs.
    fn fetched(layout: &Layout, is_index: bool, touched: &[u32]) -> Vec<(u32, u32)> {
        let (mut readahead, mut there, mut runs) = (Readahead::default(), Vec::new(), Vec::new());
        for first in touched {
            if !there.contains(first) {
                let run = readahead.plan(layout, is_index, *first, 1);
                there.extend(*first..first + run);
                runs.push((*first, run));
            }
        }
        runs
    }

    #[test]
    fn far_apart_each_miss_is_a_block() {
        let touched = [500, 100, 900, 300];
        let one_each = touched.map(|block| (block, 1));
        assert_eq!(fetched(&layout(300), false, &touched), one_each);
    }

    #[test]
    fn one_after_the_other_they_double() {
        let touched: Vec<_> = (0..40).collect();
        let runs = [(0, 1), (1, 2), (3, 4), (7, 8), (15, 16), (31, 32)];
        assert_eq!(fetched(&layout(300), false, &touched), runs);
    }

    /// Two places that go on by turns.
    #[test]
    fn near_a_recent_fetch_the_next_blocks_come_along() {
        let touched = [100, 900, 102, 903, 104, 905, 109, 919, 940];
        let runs = [(100, 1), (900, 1), (102, 8), (903, 8), (919, 8), (940, 1)];
        assert_eq!(fetched(&layout(300), false, &touched), runs);
    }

    #[test]
    fn an_index_comes_whole_once_its_misses_cost_as_much() {
        let touched = [0, 20, 22, 7, 18, 1, 9];
        let runs = [(0, 1), (20, 4), (7, 17), (1, 23)];
        assert_eq!(fetched(&layout(6), true, &touched), runs);
        let misses = (0..100).map(|n| n * 37 % 1200).collect::<Vec<_>>();
        let all = fetched(&layout(300), true, &misses);
        assert!(all[..74].iter().all(|(_, run)| *run <= 8), "{all:?}");
    }

    #[test]
    fn no_fetch_is_larger_than_the_largest() {
        let touched: Vec<_> = (0..1200).collect();
        let most = layout(300).run_of(MAX_FETCH);
        assert!(
            fetched(&layout(300), false, &touched)
                .iter()
                .all(|(_, run)| *run <= most)
        );
        assert!(
            fetched(&layout(16), true, &[0, 1, 2, 3, 4])
                .iter()
                .all(|(_, run)| *run <= most)
        );
    }
}
