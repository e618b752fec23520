//! What is counted of the doors, on Prometheus' default registry.

use prometheus::{
    HistogramVec, IntCounterVec, IntGaugeVec, register_histogram_vec, register_int_counter_vec,
    register_int_gauge_vec,
};
use std::sync::LazyLock;
use std::time::Duration;

static REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "gitmoor_serve_requests_total",
        "Requests at the doors by door, verb and status",
        &["door", "verb", "status"]
    )
    .expect("each name is registered once, here")
});

static SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let buckets = vec![
        0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0,
    ];
    register_histogram_vec!(
        "gitmoor_serve_request_seconds",
        "Time of a request at a door, to the last byte of its answer",
        &["door", "verb"],
        buckets
    )
    .expect("each name is registered once, here")
});

static QUEUED: LazyLock<HistogramVec> = LazyLock::new(|| {
    let buckets = vec![0.001, 0.01, 0.1, 1.0, 3.0, 10.0, 30.0, 60.0];
    register_histogram_vec!(
        "gitmoor_serve_queue_seconds",
        "Time that a request at a door waited for its turn",
        &["door", "verb"],
        buckets
    )
    .expect("each name is registered once, here")
});

static BYTES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "gitmoor_serve_bytes_total",
        "Bytes of bodies at the doors by door and direction",
        &["door", "direction"]
    )
    .expect("each name is registered once, here")
});

static RUNNING: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    register_int_gauge_vec!(
        "gitmoor_serve_running",
        "Git processes that serve a request now, by verb",
        &["verb"]
    )
    .expect("each name is registered once, here")
});

/// What a request came to.
pub(crate) struct Counted {
    pub(crate) door: &'static str,
    pub(crate) verb: &'static str,
    pub(crate) status: u16,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) took: Duration,
    pub(crate) queued: Duration,
}

pub(crate) fn count(it: &Counted) {
    let status = it.status.to_string();
    let labels = [it.door, it.verb, status.as_str()];
    REQUESTS.with_label_values(&labels).inc();
    let labels = [it.door, it.verb];
    SECONDS
        .with_label_values(&labels)
        .observe(it.took.as_secs_f64());
    QUEUED
        .with_label_values(&labels)
        .observe(it.queued.as_secs_f64());
    BYTES
        .with_label_values(&[it.door, "in"])
        .inc_by(it.received);
    BYTES.with_label_values(&[it.door, "out"]).inc_by(it.sent);
}

/// One that runs, for as long as this is kept.
pub(crate) struct Running(&'static str);

impl Running {
    pub(crate) fn new(verb: &'static str) -> Self {
        RUNNING.with_label_values(&[verb]).inc();
        Self(verb)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.with_label_values(&[self.0]).dec();
    }
}
