//! Counts and times of FUSE operations, and a line in the log for those that take long:
//! what waits for the store or for a disk is named there while somebody wonders.

use super::asked::Asked;
use crate::tree::Tree;
use gitmoor_store::wait::profile;
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

/// Times one operation until it is dropped, by the thread that works for it.
pub(super) struct Timer<'a> {
    asked: &'a Asked<'a>,
    tree: &'a Tree,
    /// From here on it is worth a line.
    slow: Duration,
    begin: Instant,
}

impl<'a> Timer<'a> {
    /// An operation that came at `begin`.
    pub(super) fn since(
        begin: Instant,
        asked: &'a Asked<'a>,
        tree: &'a Tree,
        slow: Duration,
    ) -> Self {
        // What this thread waited for in other operations is none of this one.
        drop(profile::take());
        profile::note(|| "a free thread".to_owned(), begin.elapsed());
        Self {
            asked,
            tree,
            slow,
            begin,
        }
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        let elapsed = self.begin.elapsed();
        self.tree.used(self.asked.ino());
        SECONDS
            .with_label_values(&[self.asked.op])
            .observe(elapsed.as_secs_f64());
        if elapsed >= self.slow {
            let path = self.asked.describe(self.tree);
            let waited_for = profile::sentence(profile::take());
            tracing::warn!(op = self.asked.op, path, ?elapsed, waited_for, "slow");
        }
    }
}

/// Counts an operation that failed.
pub(super) fn failed(op: &'static str, errno: i32) {
    let name = nix::errno::Errno::from_raw(errno);
    ERRORS.with_label_values(&[op, &format!("{name:?}")]).inc();
}
