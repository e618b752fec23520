//! Metrics of the engine.

use crate::metrics::seconds;
use prometheus::{Histogram, HistogramTimer, register_histogram};
use std::sync::LazyLock;

static APPLY_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    register_histogram!(
        "gitmoor_replicator_apply_seconds",
        "Applying one batch of committed commands, without writing it",
        seconds()
    )
    .expect("the name is registered once")
});

/// Times the applying of a batch until it is dropped.
pub(super) fn applying() -> HistogramTimer {
    APPLY_SECONDS.start_timer()
}

/// Makes the metric appear before anything has happened.
pub(super) fn register() {
    LazyLock::force(&APPLY_SECONDS);
}
