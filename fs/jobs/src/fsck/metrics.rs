//! What checks found, on Prometheus' default registry.

use super::{Checked, Fault};
use prometheus::{IntCounterVec, register_int_counter_vec};
use std::sync::LazyLock;

static DAMAGED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Damage found by gitmoor fsck";
    register_int_counter_vec!("gitmoor_fsck_damaged_total", help, &["kind"])
        .expect("each name is registered once, here")
});

/// Makes them appear at 0, see [`gitmoor_store::register_metrics`].
pub(crate) fn register() {
    for kind in ["missing", "size", "block", "content", "staged", "cached"] {
        DAMAGED.with_label_values(&[kind]);
    }
}

/// Counts what one check found.
pub(super) fn found(checked: &Checked) {
    let faults = checked.damaged.iter().flat_map(|damage| &damage.faults);
    faults.for_each(|fault| DAMAGED.with_label_values(&[kind(fault)]).inc());
    let local = [
        ("staged", checked.damaged_staging.len()),
        ("cached", checked.dropped_copies.len()),
    ];
    for (kind, count) in local {
        DAMAGED.with_label_values(&[kind]).inc_by(count as u64);
    }
}

fn kind(fault: &Fault) -> &'static str {
    match fault {
        Fault::Missing => "missing",
        Fault::Size { .. } => "size",
        Fault::Block { .. } => "block",
        Fault::Content { .. } => "content",
    }
}
