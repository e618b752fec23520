//! The metrics of this crate, which stand where they are counted.

/// Makes metrics appear before anything has happened, at 0: a rate has a beginning then, and an
/// alert something to look at. Not those whose labels say what happened.
pub(crate) fn register() {
    gitmoor_store::register_metrics();
    crate::owner::register_metrics();
}
