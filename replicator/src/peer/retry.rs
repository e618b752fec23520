//! When to ask again. Raft and the network lose requests without a word; asking
//! again is always safe here, and doubling the pause keeps a cluster that is slow
//! from being made slower.

/// Ticks before the first repetition: far more than a round trip and an fsync.
const FIRST_PAUSE: u64 = 10;
const LONGEST_PAUSE: u64 = 160;

/// The next time to ask.
#[derive(Debug)]
pub(super) struct Retry {
    due: u64,
    pause: u64,
}

impl Retry {
    pub(super) fn now() -> Self {
        Self {
            due: 0,
            pause: FIRST_PAUSE,
        }
    }

    /// Not of itself.
    pub(super) fn never() -> Self {
        Self {
            due: u64::MAX,
            ..Self::now()
        }
    }

    pub(super) fn is_due(&self, ticks: u64) -> bool {
        ticks >= self.due
    }

    /// It was asked; the next time is after a pause.
    pub(super) fn asked(&mut self, ticks: u64) {
        self.due = ticks + self.pause;
        self.pause = LONGEST_PAUSE.min(2 * self.pause);
    }

    /// It is about to be asked.
    pub(super) fn stop(&mut self) {
        self.due = u64::MAX;
    }
}
