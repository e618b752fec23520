//! What waits to be published, on Prometheus' default registry.

use prometheus::{Gauge, IntGauge, register_gauge, register_int_gauge};
use std::sync::LazyLock;
use std::time::Duration;

static PENDING: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Finished files that are not stored yet";
    register_int_gauge!("gitmoor_publisher_pending_files", help)
        .expect("each name is registered once, here")
});

static OLDEST: LazyLock<Gauge> = LazyLock::new(|| {
    let help = "How long the oldest of them has been finished";
    register_gauge!("gitmoor_publisher_oldest_pending_seconds", help)
        .expect("each name is registered once, here")
});

/// Says how it is now.
pub(super) fn pending(files: usize, oldest: Option<Duration>) {
    PENDING.set(files as i64);
    OLDEST.set(oldest.unwrap_or_default().as_secs_f64());
}
