//! Prometheus metrics, on the default registry.

use crate::ProposeError;
use crate::model::{Outcome, Refusal};
use prometheus::{
    Histogram, HistogramTimer, HistogramVec, IntCounterVec, exponential_buckets,
    register_histogram, register_histogram_vec, register_int_counter_vec,
};
use std::sync::LazyLock;
use std::time::Duration;

static PROPOSALS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    register_int_counter_vec!(
        "gitmoor_replicator_proposals_total",
        "Commands proposed, by kind and by what came out",
        &["command", "outcome"]
    )
    .expect("the name is registered once")
});

static COMMIT_SECONDS: LazyLock<HistogramVec> = LazyLock::new(|| {
    register_histogram_vec!(
        "gitmoor_replicator_commit_seconds",
        "From proposing a command to its outcome",
        &["command"],
        seconds()
    )
    .expect("the name is registered once")
});

static ROUND_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    register_histogram!(
        "gitmoor_replicator_round_seconds",
        "Persisting and applying one group of commands",
        seconds()
    )
    .expect("the name is registered once")
});

static APPLY_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    register_histogram!(
        "gitmoor_replicator_apply_seconds",
        "Applying one batch of committed commands, without writing it",
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

/// 50 microseconds to 13 seconds.
fn seconds() -> Vec<f64> {
    exponential_buckets(0.000_05, 4.0, 10).expect("the bounds are positive")
}

/// A proposal came to an end.
pub(crate) fn proposed(kind: &'static str, result: &Result<Outcome, ProposeError>, took: Duration) {
    PROPOSALS.with_label_values(&[kind, outcome(result)]).inc();
    COMMIT_SECONDS
        .with_label_values(&[kind])
        .observe(took.as_secs_f64());
}

/// A group of proposals was persisted and applied.
pub(crate) fn round(size: usize, took: Duration) {
    GROUP_SIZE.observe(size as f64);
    ROUND_SECONDS.observe(took.as_secs_f64());
}

/// Times the applying of a batch until it is dropped.
pub(crate) fn applying() -> HistogramTimer {
    APPLY_SECONDS.start_timer()
}

fn outcome(result: &Result<Outcome, ProposeError>) -> &'static str {
    match result {
        Ok(Outcome::Done(_)) => "done",
        Ok(Outcome::Refused(refusal)) => match refusal {
            Refusal::RefMoved { .. }
            | Refusal::RefsMoved { .. }
            | Refusal::Condemned { .. }
            | Refusal::Forgotten
            | Refusal::Pruned => "conflict",
            Refusal::Exists(_)
            | Refusal::NotFound(_)
            | Refusal::NotEmpty(_)
            | Refusal::BadPath(_)
            | Refusal::NoRepo(_)
            | Refusal::NotInTrash(_)
            | Refusal::DirectoryConflict { .. }
            | Refusal::Founded(_)
            | Refusal::NotFounded
            | Refusal::NotInvited
            | Refusal::NoMember(_)
            | Refusal::OtherStore { .. }
            | Refusal::AddressTaken { .. } => "refused",
        },
        Err(ProposeError::Stopped) => "stopped",
        Err(ProposeError::Timeout(_)) => "timeout",
        Err(ProposeError::GivenUp) => "given_up",
        Err(ProposeError::TooLarge { .. }) => "too_large",
    }
}
