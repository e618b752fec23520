//! How slow a client may be that sends or takes: so many bytes in so much time, of each of several kinds.
//!
//! A short time and few bytes find out who has gone. A long time and more bytes find out who is there, and only keeps a
//! place. Time counts in which the client is waited for; git may take its own.

use std::time::Duration;

/// Bytes in the time in which a client has gone that moves less.
const ALIVE: u64 = 64 << 10;

/// At least so many bytes in so much time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Least {
    /// Bytes.
    pub bytes: u64,
    /// In this time.
    pub within: Duration,
}

/// The client moves too little.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("less than {} bytes within {:?}", .0.bytes, .0.within)]
pub(crate) struct TooSlow(Least);

/// Of one transfer.
#[derive(Clone, Debug)]
pub(crate) struct Pace([Window; 2]);

#[derive(Clone, Debug)]
struct Window {
    least: Least,
    moved: u64,
    waited: Duration,
}

impl Pace {
    /// Who moves next to nothing for as long as `idle` has gone.
    pub(crate) fn new(idle: Duration, least: Least) -> Self {
        let alive = Least {
            bytes: ALIVE,
            within: idle,
        };
        Self([alive, least].map(|least| Window {
            least,
            moved: 0,
            waited: Duration::ZERO,
        }))
    }

    /// How long the client may be waited for now.
    pub(crate) fn patience(&self) -> Duration {
        let left = self.0.each_ref().map(Window::left);
        left[0].min(left[1])
    }

    /// Of what it had too little, when that is over.
    pub(crate) fn over(&self) -> TooSlow {
        let [alive, least] = &self.0;
        TooSlow(match alive.left() <= least.left() {
            true => alive.least,
            false => least.least,
        })
    }

    /// The client was waited for.
    pub(crate) fn waited(&mut self, time: Duration) {
        for window in &mut self.0 {
            window.waited += time;
        }
    }

    /// The client has moved bytes.
    pub(crate) fn moved(&mut self, bytes: u64) {
        for window in &mut self.0 {
            window.moved += bytes;
            if window.moved >= window.least.bytes {
                (window.moved, window.waited) = (0, Duration::ZERO);
            }
        }
    }
}

impl Window {
    fn left(&self) -> Duration {
        self.least.within.saturating_sub(self.waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_moves_a_little_and_never_enough() {
        let seconds = Duration::from_secs;
        let least = Least {
            bytes: 1 << 20,
            within: seconds(96),
        };
        let mut pace = Pace::new(seconds(10), least);
        assert_eq!(pace.patience(), seconds(10));
        // Enough to be there, and no more.
        for _ in 0..15 {
            pace.waited(seconds(6));
            pace.moved(ALIVE);
        }
        assert_eq!(pace.patience(), seconds(6));
        assert_eq!(pace.over(), TooSlow(least));
        pace.waited(seconds(6));
        pace.moved(ALIVE);
        assert_eq!(pace.patience(), seconds(10), "all of a megabyte");
    }
}
