//! How often somebody may ask: each address, each token and each repository has so many requests a second, and
//! [`AT_ONCE`] times as many after a pause.

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::hash::Hash;
use std::num::NonZeroU32;

/// Seconds of requests that may come at once.
const AT_ONCE: u32 = 10;
/// Keys that are remembered, beside those that asked just now.
const REMEMBERED: usize = 4096;

/// A larger rate is none: no machine serves that.
const MOST: NonZeroU32 = NonZeroU32::new(1_000_000).expect("more than none");

/// Requests a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rates {
    /// Of one address; of IPv6, of one network.
    pub address: NonZeroU32,
    /// With one token.
    pub token: NonZeroU32,
    /// For one repository.
    pub repository: NonZeroU32,
}

/// Too often.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("too many requests {of}; try again in {after} seconds")]
pub(crate) struct Often {
    of: &'static str,
    /// When there may be another, seconds.
    pub(crate) after: u64,
}

/// How often each key may ask.
pub(crate) struct Rate<K: Hash + Eq + Clone> {
    of: &'static str,
    limiter: DefaultKeyedRateLimiter<K>,
}

impl<K: Hash + Eq + Clone> Rate<K> {
    /// `of` says of what there were too many, for whoever asks.
    pub(crate) fn new(of: &'static str, rate: NonZeroU32) -> Self {
        let rate = rate.min(MOST);
        let at_once = rate.saturating_mul(NonZeroU32::new(AT_ONCE).expect("more than none"));
        let quota = Quota::per_second(rate).allow_burst(at_once);
        let limiter = RateLimiter::hashmap(quota);
        Self { of, limiter }
    }

    /// Whether this key may ask once more.
    pub(crate) fn check(&self, key: &K) -> Result<(), Often> {
        if self.limiter.len() > REMEMBERED {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).map_err(|wait| {
            let left = wait.wait_time_from(DefaultClock::default().now());
            let after = left.as_secs() + 1;
            Often { of: self.of, after }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own() {
        let rate = Rate::new("of one number", NonZeroU32::MIN);
        let allowed = (0..30).filter(|_| rate.check(&1).is_ok()).count();
        assert_eq!(allowed, AT_ONCE as usize);
        assert_eq!(rate.check(&1).map_err(|often| often.after), Err(1));
        assert!(rate.check(&2).is_ok());
    }

    /// Keys that asked long ago take no memory.
    #[test]
    fn what_is_remembered_is_bounded() {
        let rate = Rate::new("of one number", MOST);
        for key in 0..20_000 {
            assert!(rate.check(&key).is_ok());
        }
        assert!(rate.limiter.len() < 2 * REMEMBERED);
    }
}
