//! Who waits for the store right now, for `gitmoor status`.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::Instant;

/// All waits of one cache.
#[derive(Default)]
pub(super) struct Waits {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Counts up, so that the list is in order of age.
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

struct Waiting {
    key: String,
    since: Instant,
    reason: String,
}

/// One wait; over when dropped.
pub(super) struct Wait<'a> {
    waits: &'a Waits,
    id: u64,
}

impl Waits {
    pub(super) fn begin(&self, key: &str) -> Wait<'_> {
        let mut inner = self.inner.lock();
        let id = inner.next;
        inner.next += 1;
        let reason = "the first answer".to_string();
        inner.waiting.insert(
            id,
            Waiting {
                key: key.to_string(),
                since: Instant::now(),
                reason,
            },
        );
        Wait { waits: self, id }
    }

    /// One sentence for each, oldest first.
    pub(super) fn sentences(&self, store: &str) -> Vec<String> {
        let inner = self.inner.lock();
        let sentence = |w: &Waiting| {
            let seconds = w.since.elapsed().as_secs();
            format!(
                "reading {} waits for {store} since {seconds} s: {}",
                w.key, w.reason
            )
        };
        inner.waiting.values().map(sentence).collect()
    }
}

impl Wait<'_> {
    pub(super) fn because(&self, reason: String) {
        if let Some(waiting) = self.waits.inner.lock().waiting.get_mut(&self.id) {
            waiting.reason = reason;
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.waits.inner.lock().waiting.remove(&self.id);
    }
}
