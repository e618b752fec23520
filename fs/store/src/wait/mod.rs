//! Waiting: every wait has a bound and a name in `gitmoor status`, and ends when
//! the process that it is for is told to end (INV-8).
//!
//! Whoever waits for the store begins a [`Wait`], which lists it. The requests
//! to the store are made in functions far below, so they find the [`WaitBudget`] of
//! the wait that their thread is in by [`current`] rather than by a parameter of
//! everything between.

mod budget;
mod caller;
pub mod profile;

pub use budget::{Over, POLL, WaitBudget, current};
pub use caller::{is_ending, on_behalf_of};

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Everybody who waits right now.
#[derive(Clone, Default)]
pub struct Waits {
    listed: Arc<Mutex<Listed>>,
    /// How often one of the waits went forward.
    steps: Arc<AtomicU64>,
}

#[derive(Default)]
struct Listed {
    /// Counts up, so that the list is in order of age.
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

struct Waiting {
    what: String,
    since: Instant,
    budget: Arc<WaitBudget>,
}

/// Whatever this thread has done since it last heard of the store was not waiting for it.
pub fn touch() {
    if let Some(budget) = current() {
        budget.restart();
    }
}

/// One wait; over when dropped.
pub struct Wait {
    waits: Waits,
    id: u64,
    budget: Arc<WaitBudget>,
}

impl Waits {
    /// Somebody does `what` ("reading KEY"), for the process that this thread
    /// works for, and gives up when nothing went forward for `limit`.
    pub fn begin(&self, what: impl Into<String>, limit: Duration) -> Wait {
        let budget = WaitBudget::new(caller::current(), limit, self.steps.clone());
        let budget = Arc::new(budget);
        let waiting = Waiting {
            what: what.into(),
            since: Instant::now(),
            budget: budget.clone(),
        };
        let mut listed = self.listed.lock();
        let id = listed.next;
        listed.next += 1;
        listed.waiting.insert(id, waiting);
        Wait {
            waits: self.clone(),
            id,
            budget,
        }
    }

    /// Grows whenever something went forward for one of those who wait.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// One sentence for each, oldest first.
    pub fn sentences(&self, whom: &str) -> Vec<String> {
        let listed = self.listed.lock();
        let sentence = |w: &Waiting| {
            let seconds = w.since.elapsed().as_secs();
            let caller = w.budget.caller();
            let who = caller.map_or(String::new(), |pid| format!(" (process {pid})"));
            let reason = w.budget.reason();
            format!(
                "{}{who} waits for {whom} since {seconds} s: {reason}",
                w.what
            )
        };
        listed.waiting.values().map(sentence).collect()
    }
}

impl Deref for Wait {
    type Target = Arc<WaitBudget>;

    fn deref(&self) -> &Self::Target {
        &self.budget
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.waits.listed.lock().waiting.remove(&self.id);
    }
}
