//! Slowing down when the store asks for it: every `SlowDown` doubles the pause
//! before each request, every success takes a little of it away again.

use parking_lot::Mutex;
use rand::Rng;
use std::time::Duration;

/// The longest pause is the first one doubled so often: a store that still refuses
/// fails requests by its answers.
const DOUBLINGS: u32 = 7;

/// What a success leaves of the pause.
const AFTER_SUCCESS: f64 = 0.9;

/// The pause before each request to one store.
pub(super) struct Pace {
    first: Duration,
    pause: Mutex<Duration>,
}

impl Pace {
    /// No pause; `first` comes after the first `SlowDown`.
    pub(super) fn new(first: Duration) -> Self {
        let pause = Mutex::default();
        Self { first, pause }
    }

    /// The store answered `SlowDown`.
    pub(super) fn slower(&self) {
        let mut pause = self.pause.lock();
        let longest = self.first.saturating_mul(1 << DOUBLINGS);
        *pause = (*pause * 2).clamp(self.first, longest);
    }

    /// The store did what it was asked for.
    pub(super) fn faster(&self) {
        let mut pause = self.pause.lock();
        *pause = pause.mul_f64(AFTER_SUCCESS);
        if *pause < self.first / 16 {
            *pause = Duration::ZERO;
        }
    }

    /// How long a request waits before it is sent: at random, so that those who
    /// wait do not all come at once; about [`Pace`] on average.
    pub(super) fn pause(&self) -> Duration {
        let pause = *self.pause.lock();
        if pause.is_zero() {
            return pause;
        }
        pause.mul_f64(rand::rng().random_range(0.5..=1.5))
    }
}
