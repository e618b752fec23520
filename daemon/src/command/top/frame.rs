//! What happened between two looks at a daemon's counters.

use super::{Counters, Metric, Traffic};
use crate::command::status::{Pending, Staging};
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Duration;

/// One picture. Rates are per second.
#[derive(Clone, Debug, Serialize)]
pub struct Frame {
    /// Between the two looks.
    pub seconds: f64,
    /// Repositories, those with most traffic first.
    pub repositories: Vec<RepoRates>,
    /// Calls of the kernel.
    pub fuse: FuseRates,
    /// Reads through the block cache.
    pub cache: CacheRates,
    /// Requests to the store, by kind.
    pub store: Vec<StoreRates>,
    /// Commits and reads of the replicator.
    pub replicator: RaftRates,
    /// What is not in the store yet.
    pub pending: Pending,
    /// That, and files in the making.
    pub staging: Staging,
    /// Operations that wait right now: who waits for what since when.
    pub waits: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RepoRates {
    pub name: String,
    pub operations: f64,
    /// Bytes from the store.
    pub received_bytes: f64,
    pub sent_bytes: f64,
}

/// Of all file operations.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FuseRates {
    pub operations: f64,
    /// Those answered with an error.
    pub errors: f64,
    /// Of one, seconds; none without any.
    pub mean_seconds: Option<f64>,
}

/// Something with a limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gauge {
    pub bytes: u64,
    pub limit: u64,
}

/// Of the block cache.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CacheRates {
    /// What is in it.
    #[serde(flatten)]
    pub size: Gauge,
    /// The part of reads that needed no request; none without reads.
    pub hit_ratio: Option<f64>,
    /// Evicted segments.
    pub evictions: f64,
}

/// Of one kind of request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoreRates {
    /// `get`, `put`, ….
    pub kind: String,
    pub requests: f64,
    pub errors: f64,
    pub in_flight: u64,
    /// Of one, seconds; none without any.
    pub mean_seconds: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct RaftRates {
    /// Where the node stands.
    #[serde(flatten)]
    pub status: gitmoor_replicator::Status,
    /// Commands that it proposed.
    pub proposals: f64,
    /// From proposing one to its outcome, seconds; none without any.
    pub mean_commit_seconds: Option<f64>,
}

/// Outcomes of a request that are no errors.
const FINE: [&str; 3] = ["ok", "exists", "not_found"];

impl Frame {
    /// What happened in this time.
    pub fn between(before: &Counters, after: Counters, time: Duration) -> Self {
        let rates = Rates {
            before: &before.metrics,
            after: &after.metrics,
            seconds: time.as_secs_f64().max(f64::MIN_POSITIVE),
        };
        let (status, hits) = (after.status, rates.of("gitmoor_cache_hits_total"));
        let reads = hits + rates.of("gitmoor_cache_misses_total");
        let kinds = rates.values_of("gitmoor_s3_requests_total", "kind");
        let mut frame = Self {
            seconds: rates.seconds,
            repositories: Vec::new(),
            fuse: FuseRates {
                operations: rates.of("gitmoor_fuse_operation_seconds_count"),
                errors: rates.of("gitmoor_fuse_errors_total"),
                mean_seconds: rates.mean("gitmoor_fuse_operation_seconds", &|_| true),
            },
            cache: CacheRates {
                size: Gauge {
                    bytes: status.cache.bytes,
                    limit: status.cache.limit,
                },
                hit_ratio: (reads > 0.0).then(|| hits / reads),
                evictions: rates.of("gitmoor_cache_evictions_total"),
            },
            store: kinds.into_iter().map(|kind| rates.store(kind)).collect(),
            replicator: RaftRates {
                proposals: rates.of("gitmoor_replicator_proposals_total"),
                mean_commit_seconds: rates.mean("gitmoor_replicator_commit_seconds", &|_| true),
                status: status.replicator,
            },
            pending: status.pending,
            staging: status.staging,
            waits: status.waits,
        };
        for now in &after.repositories {
            let then = before.repositories.iter().find(|it| it.id == now.id);
            let rate = |of: fn(&Traffic) -> u64| {
                of(now).saturating_sub(then.map_or(0, of)) as f64 / frame.seconds
            };
            frame.repositories.push(RepoRates {
                operations: rate(|it| it.operations),
                received_bytes: rate(|it| it.received_bytes),
                sent_bytes: rate(|it| it.sent_bytes),
                name: now.name.clone(),
            });
        }
        let traffic = |it: &RepoRates| (it.received_bytes + it.sent_bytes, it.operations);
        frame.repositories.sort_by(|a, b| {
            let by_traffic = traffic(b)
                .partial_cmp(&traffic(a))
                .expect("rates are numbers");
            by_traffic.then_with(|| a.name.cmp(&b.name))
        });
        frame
    }
}

/// Between two sets of counters.
struct Rates<'a> {
    before: &'a [Metric],
    after: &'a [Metric],
    seconds: f64,
}

impl Rates<'_> {
    fn of(&self, name: &str) -> f64 {
        self.of_those(name, &|_| true)
    }

    fn of_those(&self, name: &str, which: &dyn Fn(&Metric) -> bool) -> f64 {
        // A daemon that was started anew begins at 0.
        let grown = sum(self.after, name, which) - sum(self.before, name, which);
        grown.max(0.0) / self.seconds
    }

    fn mean(&self, name: &str, which: &dyn Fn(&Metric) -> bool) -> Option<f64> {
        let count = self.of_those(&format!("{name}_count"), which);
        let time = self.of_those(&format!("{name}_sum"), which);
        (count > 0.0).then(|| time / count)
    }

    fn values_of(&self, name: &str, label: &str) -> BTreeSet<String> {
        let of = self.after.iter().filter(|it| it.name == name);
        of.filter_map(|it| it.labels.get(label).cloned()).collect()
    }

    fn store(&self, kind: String) -> StoreRates {
        let name = "gitmoor_s3_requests_total";
        let is_kind = |it: &Metric| it.labels.get("kind") == Some(&kind);
        let failed = |it: &Metric| {
            let outcome = it.labels.get("outcome");
            is_kind(it) && outcome.is_some_and(|outcome| !FINE.contains(&outcome.as_str()))
        };
        let in_flight = sum(self.after, "gitmoor_s3_in_flight_requests", &is_kind);
        StoreRates {
            requests: self.of_those(name, &is_kind),
            errors: self.of_those(name, &failed),
            in_flight: in_flight as u64,
            mean_seconds: self.mean("gitmoor_s3_request_seconds", &is_kind),
            kind,
        }
    }
}

fn sum(metrics: &[Metric], name: &str, which: &dyn Fn(&Metric) -> bool) -> f64 {
    let of = metrics.iter().filter(|it| it.name == name && which(it));
    of.map(|it| it.value).sum()
}
