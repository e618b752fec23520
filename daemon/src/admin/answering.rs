//! Lets the main thread wait until no answer is half written.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Counts answers in the making.
#[derive(Debug, Default)]
pub(crate) struct Answering {
    count: Mutex<usize>,
    none: Condvar,
}

/// One answer in the making.
#[derive(Debug)]
pub(super) struct Guard<'a>(&'a Answering);

impl Answering {
    /// Counts one more, until the guard is dropped.
    pub(super) fn begin(&self) -> Guard<'_> {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Guard(self)
    }

    /// Waits until none is left, at most this long.
    pub(crate) fn wait_until_none(&self, limit: Duration) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        // Both ways of ending mean the same to the caller, who leaves.
        let _ = self
            .none
            .wait_timeout_while(count, limit, |count| *count > 0);
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let mut count = self.0.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        if *count == 0 {
            self.0.none.notify_all();
        }
    }
}
