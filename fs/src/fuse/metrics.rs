//! Counts and times of FUSE operations, and a line in the log for those that take long:
//! what waits for the store or for a disk is named there while somebody wonders.

use crate::tree::Tree;
use prometheus::{HistogramVec, IntCounterVec, histogram_opts, opts};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

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
pub(super) struct Timer<'a> {
    pub(super) op: &'static str,
    /// The inode that the kernel named.
    pub(super) ino: u64,
    pub(super) tree: &'a Tree,
    /// From here on it is worth a line.
    pub(super) slow: Duration,
    pub(super) begin: Instant,
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        let elapsed = self.begin.elapsed();
        SECONDS
            .with_label_values(&[self.op])
            .observe(elapsed.as_secs_f64());
        if elapsed >= self.slow {
            let path = self.tree.describe(self.ino);
            tracing::warn!(op = self.op, path, ?elapsed, "slow");
        }
    }
}

/// Counts an operation that failed.
pub(super) fn failed(op: &'static str, errno: i32) {
    let name = nix::errno::Errno::from_raw(errno);
    ERRORS.with_label_values(&[op, &format!("{name:?}")]).inc();
}
