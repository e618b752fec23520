//! Metrics of a node: the rounds of its loop, its ReadIndex requests, and where it stands.

use crate::metrics::seconds;
use crate::rpc::{Role, Status};
use prometheus::{
    Histogram, HistogramTimer, IntGauge, IntGaugeVec, exponential_buckets, register_histogram,
    register_int_gauge, register_int_gauge_vec,
};
use std::sync::LazyLock;
use std::time::Duration;

static ROUND_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    register_histogram!(
        "gitmoor_replicator_round_seconds",
        "Persisting and applying one group of commands",
        seconds()
    )
    .expect("the name is registered once")
});

static GROUP_SIZE: LazyLock<Histogram> = LazyLock::new(|| {
    register_histogram!(
        "gitmoor_replicator_group_size",
        "Commands that share one write",
        exponential_buckets(1.0, 2.0, 11).expect("the bounds are positive")
    )
    .expect("the name is registered once")
});

static CATCH_UP_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    register_histogram!(
        "gitmoor_replicator_catch_up_seconds",
        "Asking the cluster whether a read sees everything",
        seconds()
    )
    .expect("the name is registered once")
});

static ROLE: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "1 for the part that the node plays now";
    register_int_gauge_vec!("gitmoor_replicator_role", help, &["role"])
        .expect("the name is registered once")
});

static LAG: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Entries by which a member's log is behind the leader's; of a node that does not lead, committed ones that it has not applied";
    register_int_gauge_vec!("gitmoor_replicator_lag_entries", help, &["node"])
        .expect("the name is registered once")
});

fn gauge(name: &str, help: &str) -> IntGauge {
    register_int_gauge!(name, help).expect("the name is registered once")
}

static HAS_LEADER: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "gitmoor_replicator_has_leader",
        "Whether the node knows who leads",
    )
});

static TERM: LazyLock<IntGauge> = LazyLock::new(|| gauge("gitmoor_replicator_term", "Raft's term"));

static COMMITTED: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "gitmoor_replicator_committed_index",
        "The last entry known to be committed",
    )
});

static APPLIED: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "gitmoor_replicator_applied_index",
        "The last entry applied here",
    )
});

static PENDING: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "gitmoor_replicator_pending_requests",
        "Commands and questions that wait for an answer",
    )
});

/// A group of proposals was persisted and applied.
pub(super) fn round(size: usize, took: Duration) {
    GROUP_SIZE.observe(size as f64);
    ROUND_SECONDS.observe(took.as_secs_f64());
}

/// Times a ReadIndex request until it is dropped.
pub(super) fn catching_up() -> HistogramTimer {
    CATCH_UP_SECONDS.start_timer()
}

/// Says where the node stands.
pub(super) fn measure(status: &Status) {
    for (role, name) in [
        (Role::Leader, "leader"),
        (Role::Follower, "follower"),
        (Role::Candidate, "candidate"),
    ] {
        let plays = i64::from(status.role == role);
        ROLE.with_label_values(&[name]).set(plays);
    }
    HAS_LEADER.set(i64::from(status.leader.is_some()));
    TERM.set(status.term as i64);
    COMMITTED.set(status.commit as i64);
    APPLIED.set(status.applied as i64);
    PENDING.set(status.pending as i64);
    // Members come and go, and whoever leads no more knows nothing of the others.
    LAG.reset();
    for (node, lag) in &status.lag {
        LAG.with_label_values(&[&node.to_string()]).set(*lag as i64);
    }
}

/// Makes the metrics without labels appear before anything has happened.
pub(super) fn register() {
    for histogram in [&ROUND_SECONDS, &GROUP_SIZE, &CATCH_UP_SECONDS] {
        LazyLock::force(histogram);
    }
}
