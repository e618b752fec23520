//! What is known of processes and threads, each for as long as it lives.

use super::{now, started};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A process that did nothing here for so long is seen as new.
const IDLE: Duration = Duration::from_secs(6 * 3600);

/// How long a number is taken for the same process without asking. To come around in
/// this time the machine would have to start all of its numbers.
const ASKED: Duration = Duration::from_secs(1);

/// Something about each.
pub(crate) struct Processes<T>(moka::sync::Cache<u32, Arc<Known<T>>>);

/// What is known of whoever has a number.
struct Known<T> {
    what: T,
    at: Duration,
    /// When the number was last seen to be the same thread's, milliseconds since the machine started.
    asked: AtomicU64,
}

impl<T: Clone + Send + Sync + 'static> Processes<T> {
    pub(crate) fn new() -> Self {
        let known = moka::sync::Cache::builder()
            .max_capacity(100_000)
            .time_to_idle(IDLE);
        Self(known.build())
    }

    pub(crate) fn get(&self, id: u32) -> Option<T> {
        let known = self.0.get(&id)?;
        known.is_of(id).then(|| known.what.clone())
    }

    pub(crate) fn insert(&self, id: u32, what: T) {
        let at = now();
        let asked = AtomicU64::new(millis(at));
        self.0.insert(id, Arc::new(Known { what, at, asked }));
    }
}

impl<T> Known<T> {
    /// Whether it is about the thread that has this number now. In doubt it is.
    fn is_of(&self, id: u32) -> bool {
        let now = millis(now());
        if now.saturating_sub(self.asked.load(Ordering::Relaxed)) < millis(ASKED) {
            return true;
        }
        let same = started(id).is_none_or(|started| started <= self.at);
        if same {
            self.asked.store(now, Ordering::Relaxed);
        }
        same
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("less than millions of years")
}
