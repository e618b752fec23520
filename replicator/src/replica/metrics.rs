//! Metrics of proposals, whoever makes them.

use super::ProposeError;
use crate::metrics::seconds;
use crate::model::{Outcome, Refusal};
use prometheus::{HistogramVec, IntCounterVec, register_histogram_vec, register_int_counter_vec};
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

/// A proposal came to an end.
pub(crate) fn proposed(kind: &'static str, result: &Result<Outcome, ProposeError>, took: Duration) {
    PROPOSALS.with_label_values(&[kind, outcome(result)]).inc();
    COMMIT_SECONDS
        .with_label_values(&[kind])
        .observe(took.as_secs_f64());
}

fn outcome(result: &Result<Outcome, ProposeError>) -> &'static str {
    match result {
        Ok(Outcome::Done(_)) => "done",
        Ok(Outcome::Refused(refusal)) => match refusal {
            Refusal::RefMoved { .. }
            | Refusal::RefsMoved { .. }
            | Refusal::HasTombstone { .. }
            | Refusal::TombstonesExpired
            | Refusal::NotLent { .. }
            | Refusal::Pruned
            | Refusal::NameChanged { .. } => "conflict",
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
            | Refusal::AddressTaken { .. }
            | Refusal::Changed { .. }
            | Refusal::Repacked { .. }
            | Refusal::NoImport(_)
            | Refusal::BeingImported(_)
            | Refusal::Unverified { .. }
            | Refusal::TooManyRows { .. }
            | Refusal::NoUser(_)
            | Refusal::UserExists(_)
            | Refusal::NoToken(_)
            | Refusal::TokenExists(_)
            | Refusal::NoGrant { .. }
            | Refusal::NotInGroup { .. } => "refused",
            Refusal::OverQuota { .. } => "over_quota",
            Refusal::NotPermitted(_)
            | Refusal::HooksDiffer { .. }
            | Refusal::HooksMissing { .. } => "not_permitted",
            Refusal::HostFilesTooLarge { .. } => "host_files_too_large",
        },
        Err(ProposeError::Stopped) => "stopped",
        Err(ProposeError::Timeout(_)) => "timeout",
        Err(ProposeError::GivenUp) => "given_up",
        Err(ProposeError::NoNode(_) | ProposeError::Senseless) => "no_node",
        Err(ProposeError::Removed(_)) => "dismissed",
        Err(ProposeError::TooLarge { .. }) => "too_large",
        Err(ProposeError::Denied(_)) => "denied",
    }
}
