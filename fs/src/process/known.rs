//! What is known of processes and threads, each for as long as it lives.

use super::{has_ended, now, started};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A process that did nothing here for so long is seen as new.
const IDLE: Duration = Duration::from_secs(6 * 3600);

/// How long a number is taken for the same process without asking. To come around in
/// this time the machine would have to start all of its numbers.
const ASKED: Duration = Duration::from_secs(1);

/// Those that have ended are dropped each time that so many are noted.
const SWEEP: u64 = 1024;

pub(crate) struct Processes<T> {
    known: moka::sync::Cache<u32, Arc<Known<T>>>,
    noted: AtomicU64,
}

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
        Self {
            known: known.build(),
            noted: AtomicU64::new(0),
        }
    }

    pub(crate) fn get(&self, id: u32) -> Option<T> {
        let known = self.known.get(&id)?;
        known.is_of(id).then(|| known.what.clone())
    }

    pub(crate) fn insert(&self, id: u32, what: T) {
        let at = now();
        let asked = AtomicU64::new(millis(at));
        self.known.insert(id, Arc::new(Known { what, at, asked }));
        if self.noted.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.sweep();
        }
    }

    /// Does it with each.
    pub(crate) fn each(&self, does: impl Fn(&T)) {
        self.known.iter().for_each(|(_, known)| does(&known.what));
    }

    /// A busy machine starts more in [`IDLE`] than are worth remembering.
    fn sweep(&self) {
        for (id, known) in &self.known {
            if has_ended(*id, known.at) {
                self.known.invalidate(&*id);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_have_ended_are_dropped() {
        let known = Processes::new();
        known.insert(std::process::id(), ());
        let mut child = crate::program::of_the_system("true").spawn().expect("true");
        child.wait().expect("it ends");
        (1..SWEEP - 1).for_each(|_| known.insert(child.id(), ()));
        assert_eq!(known.known.iter().count(), 2);
        known.insert(child.id(), ());
        let left: Vec<_> = known.known.iter().map(|(id, _)| *id).collect();
        assert_eq!(left, [std::process::id()]);
    }
}
