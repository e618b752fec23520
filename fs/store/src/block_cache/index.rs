//! Which segments are on the disk, weighed by their bytes; the least recently
//! used go when there are too many.
//!
//! The index may think that a segment weighs more than it does (an eviction and a
//! fetch crossed), never less; the next eviction of that segment sets it right.

use super::disk::FileName;
use super::entries::CacheEntries;
use super::entry::Entry;
use super::metrics;
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of one unit of weight: moka weighs in u32, and file systems in pages.
const PAGE: u64 = 4096;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct SegmentKey {
    pub(super) name: FileName,
    pub(super) segment: u32,
}

#[derive(Clone)]
struct Segment {
    pages: u32,
    /// The tick of the last use.
    used: Arc<AtomicU64>,
}

pub(super) struct Index {
    segments: Cache<SegmentKey, Segment>,
    /// Counts uses.
    clock: AtomicU64,
}

impl Index {
    pub(super) fn new(max_bytes: u64, entries: Arc<CacheEntries>) -> Self {
        let evict = move |key: Arc<SegmentKey>, _: Segment, cause: RemovalCause| {
            if cause != RemovalCause::Replaced {
                metrics::EVICTIONS.inc();
                entries.evict(*key);
            }
        };
        let segments = Cache::builder()
            .max_capacity(max_bytes / PAGE)
            .weigher(|_, segment: &Segment| segment.pages)
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(evict)
            .build();
        Self {
            segments,
            clock: AtomicU64::new(0),
        }
    }

    /// Weighs segments anew after blocks were added to them, and evicts.
    pub(super) fn record(&self, entry: &Entry, segments: Range<u32>) {
        for segment in segments {
            let pages = entry.bytes_in(segment).div_ceil(PAGE);
            let pages = u32::try_from(pages).unwrap_or(u32::MAX);
            let used = Arc::new(AtomicU64::new(self.tick()));
            let key = SegmentKey {
                name: entry.name,
                segment,
            };
            self.segments.insert(key, Segment { pages, used });
        }
        self.segments.run_pending_tasks();
    }

    /// Segments were read.
    pub(super) fn touch(&self, name: FileName, segments: Range<u32>) {
        for segment in segments {
            if let Some(found) = self.segments.get(&SegmentKey { name, segment }) {
                found.used.store(self.tick(), Ordering::Relaxed);
            }
        }
    }

    /// A file is gone.
    pub(super) fn forget(&self, entry: &Entry) {
        for segment in 0..entry.layout.segments() {
            self.segments.invalidate(&SegmentKey {
                name: entry.name,
                segment,
            });
        }
        self.segments.run_pending_tasks();
    }

    /// Evicts the least recently used segments until they weigh `bytes` less.
    pub(super) fn shrink(&self, bytes: u64) {
        let mut by_age: Vec<_> = self
            .segments
            .iter()
            .map(|(key, s)| {
                (
                    s.used.load(Ordering::Relaxed),
                    *key,
                    u64::from(s.pages) * PAGE,
                )
            })
            .collect();
        by_age.sort_unstable_by_key(|(used, ..)| *used);
        let mut freed = 0;
        for (_, key, weight) in by_age {
            if freed >= bytes {
                break;
            }
            self.segments.invalidate(&key);
            freed += weight;
        }
        self.segments.run_pending_tasks();
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.segments.run_pending_tasks();
        self.segments.weighted_size() * PAGE
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
}
