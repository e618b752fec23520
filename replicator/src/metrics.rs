//! Buckets that the replicator's metrics share, on the default registry of Prometheus. Each metric stands in a
//! `metrics.rs` beside what it counts.

use prometheus::exponential_buckets;

/// 50 microseconds to 13 seconds.
pub(crate) fn seconds() -> Vec<f64> {
    exponential_buckets(0.000_05, 4.0, 10).expect("the bounds are positive")
}
