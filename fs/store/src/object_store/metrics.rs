//! Counts what a store is asked, on Prometheus' default registry. One wrapper
//! for every store, told apart by the label `store` (`s3` or `dir`). A multipart upload
//! counts as one put here; single tries are in `gitmoor_s3_retries_total`.

use super::{Body, Listed, ObjectStore, Put, StoreError, Upload, Watch, reach, traffic};
use crate::wait::profile;
use bytes::Bytes;
use gitmoor_instrument::trace;
use prometheus::{
    CounterVec, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, register_counter_vec,
    register_histogram_vec, register_int_counter, register_int_counter_vec, register_int_gauge_vec,
};
use std::fs::File;
use std::ops::Range;
use std::sync::LazyLock;
use std::time::Instant;

fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register_int_counter_vec!(name, help, labels).expect("each name is registered once, here")
}

static REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Requests to the object store by kind and outcome";
    counter(
        "gitmoor_s3_requests_total",
        help,
        &["store", "kind", "outcome"],
    )
});

static BYTES_IN: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "gitmoor_s3_received_bytes_total",
        "Bytes from the object store",
        &["store"],
    )
});

static BYTES_OUT: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "gitmoor_s3_sent_bytes_total",
        "Bytes put into the object store",
        &["store"],
    )
});

static SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Time of a request to the object store, with its retries";
    let buckets = vec![
        0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0,
    ];
    register_histogram_vec!(
        "gitmoor_s3_request_seconds",
        help,
        &["store", "kind"],
        buckets
    )
    .expect("each name is registered once, here")
});

/// GETs that were asked a second time because the first took unusually long.
pub(super) static HEDGES: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!("gitmoor_s3_hedges_total", "Slow GETs that were asked twice")
        .expect("each name is registered once, here")
});

/// Tries that failed and were repeated, by kind of request.
pub(super) static RETRIES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counter(
        "gitmoor_s3_retries_total",
        "Failed tries that were repeated",
        &["kind"],
    )
});

/// Time that requests waited for their turn on a limited line.
pub(super) static THROTTLED: LazyLock<CounterVec> = LazyLock::new(|| {
    let help = "Time that requests waited for upload-limit or download-limit";
    register_counter_vec!("gitmoor_s3_throttled_seconds_total", help, &["direction"])
        .expect("each name is registered once, here")
});

static IN_FLIGHT: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Requests to the object store that are not answered yet";
    register_int_gauge_vec!("gitmoor_s3_in_flight_requests", help, &["store", "kind"])
        .expect("each name is registered once, here")
});

/// Registers the metrics of the stores, see [`crate::register_metrics`].
pub fn register() {
    LazyLock::force(&HEDGES);
    LazyLock::force(&THROTTLED);
}

/// A store whose requests are counted.
#[derive(Debug)]
pub(super) struct Metered<S> {
    inner: S,
    label: &'static str,
}

impl<S: ObjectStore> Metered<S> {
    pub(super) fn new(inner: S, label: &'static str) -> Self {
        // From the beginning, see [`crate::register_metrics`].
        for bytes in [&BYTES_IN, &BYTES_OUT] {
            bytes.with_label_values(&[label]);
        }
        Self { inner, label }
    }

    fn count<T>(
        &self,
        kind: &'static str,
        key: &str,
        outcome: impl FnOnce(&T) -> &'static str,
        request: impl FnOnce(&S) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let begin = Instant::now();
        let _in_step = trace::step(kind, || key.to_owned()).entered();
        let in_flight = IN_FLIGHT.with_label_values(&[self.label, kind]);
        in_flight.inc();
        let result = request(&self.inner);
        in_flight.dec();
        if reach::is_answer(&result) {
            reach::answered();
        }
        let outcome = match &result {
            Ok(value) => outcome(value),
            Err(StoreError::NotFound { .. }) => "not_found",
            Err(StoreError::Refused { .. }) => "refused",
            Err(StoreError::Unavailable { .. }) => "unavailable",
            Err(StoreError::Offline { .. }) => "offline",
            Err(StoreError::ReadOnly { .. }) => "read_only",
            Err(StoreError::NotOwner { .. }) => "not_owner",
            Err(StoreError::Interrupted { .. }) => "interrupted",
            Err(StoreError::Local { .. }) => "local_error",
        };
        REQUESTS
            .with_label_values(&[self.label, kind, outcome])
            .inc();
        let time = begin.elapsed();
        SECONDS
            .with_label_values(&[self.label, kind])
            .observe(time.as_secs_f64());
        profile::note(|| format!("{} {key}", kind.to_uppercase()), time);
        result
    }

    fn sent(&self, key: &str, len: u64) {
        BYTES_OUT.with_label_values(&[self.label]).inc_by(len);
        traffic::moved(key, 0, len);
    }

    fn received(&self, key: &str, bytes: &Bytes) {
        traffic::moved(key, bytes.len() as u64, 0);
        BYTES_IN
            .with_label_values(&[self.label])
            .inc_by(bytes.len() as u64);
    }
}

fn put_outcome(put: &Put) -> &'static str {
    match put {
        Put::Stored => "ok",
        Put::Exists => "exists",
    }
}

impl<S: ObjectStore> ObjectStore for Metered<S> {
    fn put(&self, key: &str, body: Body<'_>) -> Result<Put, StoreError> {
        let len = match &body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File { len, .. } => *len,
        };
        let put = self.count("put", key, put_outcome, |store| store.put(key, body))?;
        self.sent(key, len);
        Ok(put)
    }

    fn put_resuming(
        &self,
        key: &str,
        file: &File,
        len: u64,
        watch: &Watch<'_>,
    ) -> Result<Put, StoreError> {
        let put = |store: &S| store.put_resuming(key, file, len, watch);
        let put = self.count("put", key, put_outcome, put)?;
        self.sent(key, len);
        Ok(put)
    }

    fn copy(&self, from: &str, to: &str, len: u64, watch: &Watch<'_>) -> Result<Put, StoreError> {
        let copy = |store: &S| store.copy(from, to, len, watch);
        self.count("copy", to, put_outcome, copy)
    }

    fn get(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let bytes = self.count("get", key, |_| "ok", |store| store.get(key, range))?;
        self.received(key, &bytes);
        Ok(bytes)
    }

    fn get_small(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        let bytes = self.count("get", key, |_| "ok", |store| store.get_small(key, limit))?;
        self.received(key, &bytes);
        Ok(bytes)
    }

    fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        let first = keys.first().map_or("nothing", String::as_str);
        self.count("delete", first, |()| "ok", |store| store.delete(keys))
    }

    fn list(&self, prefix: &str, sink: &mut (dyn FnMut(Listed) + Send)) -> Result<(), StoreError> {
        self.count("list", prefix, |()| "ok", |store| store.list(prefix, sink))
    }

    fn abort(&self, upload: &Upload) -> Result<(), StoreError> {
        self.count("abort", &upload.key, |()| "ok", |store| store.abort(upload))
    }

    fn refuses_overwrite(&self) -> bool {
        self.inner.refuses_overwrite()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
