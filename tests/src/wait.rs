//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(5);

/// Asks until `probe` answers, for at most `bound`; `None` when it never did.
pub fn poll<T>(bound: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + bound;
    loop {
        if let Some(answer) = probe() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Waits until `probe` holds; fails the test with `what` after `bound`.
#[track_caller]
pub fn until(what: &str, bound: Duration, mut probe: impl FnMut() -> bool) {
    if poll(bound, || probe().then_some(())).is_none() {
        panic!("waited {bound:?} in vain: {what}");
    }
}
