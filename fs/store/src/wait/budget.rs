//! For whom and how long a wait goes on.

use super::caller;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often a wait looks whether it is over.
pub const POLL: Duration = Duration::from_millis(100);

thread_local! {
    static CURRENT: RefCell<Option<Arc<WaitBudget>>> = const { RefCell::new(None) };
}

/// The budget of the wait that this thread is in.
pub fn current() -> Option<Arc<WaitBudget>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Why a wait is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// The process it was for is ending.
    Interrupted,
    /// Nothing went forward for as long as is allowed.
    TimedOut,
}

/// For whom and how long a wait goes on. The limit is on standing still: a large
/// upload may take its time.
pub struct WaitBudget {
    caller: Option<u32>,
    limit: Duration,
    progress: Mutex<Progress>,
    /// Of all waits of the same list.
    steps: Arc<AtomicU64>,
}

struct Progress {
    at: Instant,
    reason: String,
}

impl WaitBudget {
    pub(super) fn new(caller: Option<u32>, limit: Duration, steps: Arc<AtomicU64>) -> Self {
        let progress = Progress {
            at: Instant::now(),
            reason: "the first answer".to_owned(),
        };
        Self {
            caller,
            limit,
            progress: Mutex::new(progress),
            steps,
        }
    }

    /// The process for which it is.
    pub(crate) fn caller(&self) -> Option<u32> {
        self.caller
    }

    pub(super) fn reason(&self) -> String {
        self.progress.lock().reason.clone()
    }

    /// Something went forward: the limit counts from now.
    pub(crate) fn progressed(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.restart();
    }

    /// The limit counts from now, although nothing went forward here.
    pub fn restart(&self) {
        self.progress.lock().at = Instant::now();
    }

    /// Why it still waits, for `gitmoor status`.
    pub fn set_reason(&self, reason: String) {
        self.progress.lock().reason = reason;
    }

    /// How long nothing may go forward from now on.
    pub fn left(&self) -> Duration {
        self.limit.saturating_sub(self.progress.lock().at.elapsed())
    }

    /// Whether to go on waiting.
    pub fn over(&self) -> Option<Over> {
        if self.caller.is_some_and(caller::is_ending) {
            return Some(Over::Interrupted);
        }
        self.left().is_zero().then_some(Over::TimedOut)
    }

    /// Waits without blocking the thread until the process is ending; for ever
    /// when there is none.
    pub async fn interrupted(&self) {
        loop {
            tokio::time::sleep(POLL).await;
            if self.caller.is_some_and(caller::is_ending) {
                return;
            }
        }
    }

    /// Sleeps, in short naps: ends early when the wait is over.
    pub fn sleep(&self, time: Duration) -> Option<Over> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.over();
            }
            std::thread::sleep(left.min(POLL));
            if let Some(over) = self.over() {
                return Some(over);
            }
        }
    }

    /// Makes it this thread's until the answer is dropped.
    pub fn enter(self: &Arc<Self>) -> Entered {
        Entered(CURRENT.replace(Some(self.clone())))
    }
}

/// See [`WaitBudget::enter`]; holds the one before.
pub struct Entered(Option<Arc<WaitBudget>>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}
