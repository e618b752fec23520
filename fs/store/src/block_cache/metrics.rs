//! The cache's counters on Prometheus' default registry.

use prometheus::{IntCounter, IntCounterVec, register_int_counter, register_int_counter_vec};
use std::sync::LazyLock;

fn counter(name: &str, help: &str) -> IntCounter {
    register_int_counter!(name, help).expect("each name is registered once, here")
}

/// Reads answered without a request.
pub(super) static HITS: LazyLock<IntCounter> =
    LazyLock::new(|| counter("gitmoor_cache_hits_total", "Reads answered from the cache"));

/// Reads that needed one.
pub(super) static MISSES: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "gitmoor_cache_misses_total",
        "Reads that had to ask the store",
    )
});

/// Verified bytes that came from the store.
pub(super) static FETCHED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "gitmoor_cache_fetched_bytes_total",
        "Verified bytes fetched from the store",
    )
});

/// Evicted segments.
pub(super) static EVICTIONS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "gitmoor_cache_evictions_total",
        "Evicted segments of cached files",
    )
});

/// Registers the metrics of the cache, see [`crate::register_metrics`].
pub fn register() {
    for counter in [&HITS, &MISSES, &FETCHED, &EVICTIONS] {
        LazyLock::force(counter);
    }
    for source in ["disk", "store"] {
        CORRUPT.with_label_values(&[source]);
    }
}

/// Blocks whose digest was wrong, by where they came from: `disk` or `store`.
pub(super) static CORRUPT: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Blocks whose digest was wrong, none of which was served";
    register_int_counter_vec!("gitmoor_cache_corrupt_blocks_total", help, &["source"])
        .expect("each name is registered once, here")
});
