//! What gc did, on Prometheus' default registry.

use prometheus::{IntCounter, IntCounterVec, register_int_counter, register_int_counter_vec};
use std::sync::LazyLock;

static RUNS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Runs of gc, dry ones not counted";
    register_int_counter_vec!("gitmoor_gc_runs_total", help, &["outcome"])
        .expect("each name is registered once, here")
});

static OBJECTS: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Objects that gc removed from the store";
    register_int_counter!("gitmoor_gc_removed_objects_total", help)
        .expect("each name is registered once, here")
});

static BYTES: LazyLock<IntCounter> = LazyLock::new(|| {
    let help = "Bytes that gc removed from the store, as far as they are known";
    register_int_counter!("gitmoor_gc_removed_bytes_total", help)
        .expect("each name is registered once, here")
});

/// Makes them appear at 0, see [`gitmoor_store::register_metrics`].
pub(crate) fn register() {
    for outcome in ["ok", "failed"] {
        RUNS.with_label_values(&[outcome]);
    }
    LazyLock::force(&OBJECTS);
    LazyLock::force(&BYTES);
}

/// A run came to its end, or did not.
pub(super) fn ran(done: bool) {
    let outcome = if done { "ok" } else { "failed" };
    RUNS.with_label_values(&[outcome]).inc();
}

/// Objects are gone, also if the rest of the run fails.
pub(super) fn removed(objects: u64, bytes: u64) {
    OBJECTS.inc_by(objects);
    BYTES.inc_by(bytes);
}
