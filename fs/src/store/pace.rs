//! Slowing down when the store asks for it: every `SlowDown` doubles the pause
//! before each request, every success takes a little of it away again.

use parking_lot::Mutex;
use rand::Rng;
use std::time::Duration;

/// The pause after the first `SlowDown`.
const FIRST: Duration = Duration::from_millis(20);

/// The longest pause: a store that still refuses fails requests by its answers.
const LONGEST: Duration = Duration::from_secs(2);

/// Below this there is none.
const SHORTEST: Duration = Duration::from_millis(1);

/// What a success leaves of the pause.
const AFTER_SUCCESS: f64 = 0.9;

/// The pause before each request to one store.
#[derive(Default)]
pub(super) struct Pace(Mutex<Duration>);

impl Pace {
    /// The store answered `SlowDown`.
    pub(super) fn slower(&self) {
        let mut pause = self.0.lock();
        *pause = (*pause * 2).clamp(FIRST, LONGEST);
    }

    /// The store did what it was asked for.
    pub(super) fn faster(&self) {
        let mut pause = self.0.lock();
        *pause = pause.mul_f64(AFTER_SUCCESS);
        if *pause < SHORTEST {
            *pause = Duration::ZERO;
        }
    }

    /// How long a request waits before it is sent: at random, so that those who
    /// wait do not all come at once; about [`Pace`] on average.
    pub(super) fn pause(&self) -> Duration {
        let pause = *self.0.lock();
        if pause.is_zero() {
            return pause;
        }
        pause.mul_f64(rand::rng().random_range(0.5..=1.5))
    }
}
