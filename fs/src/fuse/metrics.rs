//! Counts and times of FUSE operations.

use prometheus::{HistogramVec, IntCounterVec, histogram_opts, opts};
use std::sync::LazyLock;

static SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let buckets = prometheus::exponential_buckets(0.000_01, 4.0, 11).expect("constants in range");
    let options = histogram_opts!(
        "gitmoor_fuse_operation_seconds",
        "Time to answer a FUSE operation",
        buckets
    );
    let metric = HistogramVec::new(options, &["op"]).expect("a valid metric");
    prometheus::register(Box::new(metric.clone())).expect("registered once");
    metric
});

static ERRORS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let options = opts!(
        "gitmoor_fuse_errors_total",
        "FUSE operations answered with an error"
    );
    let metric = IntCounterVec::new(options, &["op", "errno"]).expect("a valid metric");
    prometheus::register(Box::new(metric.clone())).expect("registered once");
    metric
});

/// Times one operation until it is dropped.
pub(super) fn time(op: &'static str) -> prometheus::HistogramTimer {
    SECONDS.with_label_values(&[op]).start_timer()
}

/// Counts an operation that failed.
pub(super) fn failed(op: &'static str, errno: i32) {
    let name = nix::errno::Errno::from_raw(errno);
    ERRORS.with_label_values(&[op, &format!("{name:?}")]).inc();
}
