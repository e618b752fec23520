//! Retrying, once for every request: exponential backoff with full jitter, a
//! bound on each try and on all of them, and a warning for each.

use super::metrics;
use crate::wait::{self, Patience};
use rand::Rng;
use std::time::{Duration, Instant};

/// How long a request is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryPolicy {
    /// Tries after the first.
    pub retries: u32,
    /// The first pause is a random part of this, each later one of twice as much.
    pub base: Duration,
    /// No try begins later than this after the first did.
    pub cap: Duration,
    /// One try takes at most this, plus 2 seconds for each MiB it moves.
    pub attempt: Duration,
}

/// Time that a try is allowed for each MiB: a link of 4 Mbit/s.
const PER_MIB: Duration = Duration::from_secs(2);

/// Longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(5);

impl Default for RetryPolicy {
    /// For requests that somebody waits for: 3 retries within 30 seconds.
    fn default() -> Self {
        Self {
            retries: 3,
            base: Duration::from_millis(100),
            cap: Duration::from_secs(30),
            attempt: Duration::from_secs(10),
        }
    }
}

impl RetryPolicy {
    /// How long one try may take when nothing may stand still for longer than `left`.
    fn attempt_for(&self, bytes: u64, left: Duration) -> Duration {
        let mib = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
        self.attempt.min(left) + PER_MIB.saturating_mul(mib)
    }

    fn pause(&self, attempt: u32) -> Duration {
        let most = self
            .base
            .saturating_mul(1 << (attempt - 1).min(16))
            .min(MAX_PAUSE);
        most.mul_f64(rand::rng().random_range(0.0..=1.0))
    }
}

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// Such as `GET`.
    pub(super) kind: &'static str,
    /// The key.
    pub(super) key: &'a str,
    /// Bytes that go over the wire.
    pub(super) bytes: u64,
}

/// Why a try failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may go better the next time.
    Transient {
        /// In the store's words.
        reason: String,
        /// The store's name for the request, if it gave one.
        request_id: Option<String>,
    },
    /// There is no such key.
    NotFound,
    /// The condition of a conditional write does not hold.
    Exists,
    /// The store does not know conditional writes.
    NotImplemented,
    /// It will not go better.
    Refused {
        /// In the store's words, with what to try.
        reason: String,
    },
    /// Our own disk.
    Local(std::io::Error),
}

/// Why a request failed for good.
#[derive(Debug)]
pub(super) enum GaveUp {
    /// After one or more tries.
    Transient {
        /// How many.
        attempts: u32,
        /// In this time.
        elapsed: Duration,
        /// The last reason.
        reason: String,
    },
    /// At once; never [`Failure::Transient`].
    AtOnce(Failure),
    /// The process that waits for it is ending.
    Interrupted,
}

/// Runs `attempt` until it succeeds, fails for good, or the policy or the patience
/// of the wait that this thread is in is exhausted.
pub(super) async fn retry<T, F: Future<Output = Result<T, Failure>>>(
    policy: &RetryPolicy,
    request: Request<'_>,
    mut attempt: impl FnMut() -> F,
) -> Result<T, GaveUp> {
    let begin = Instant::now();
    let patience = wait::current();
    let left = || patience.as_ref().map_or(Duration::MAX, |p| p.left());
    for attempts in 1.. {
        let limit = policy.attempt_for(request.bytes, left());
        let tried = tokio::time::timeout(limit, attempt());
        let failure = match until_interrupted(tried, patience.as_deref()).await? {
            Ok(Ok(value)) => {
                patience.inspect(|patience| patience.progressed());
                return Ok(value);
            }
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Transient {
                reason: format!("no complete answer within {limit:?}"),
                request_id: None,
            },
        };
        let Failure::Transient { reason, request_id } = failure else {
            return Err(GaveUp::AtOnce(failure));
        };
        let pause = policy.pause(attempts);
        let elapsed = begin.elapsed();
        if attempts > policy.retries || elapsed + pause > policy.cap || pause >= left() {
            return Err(GaveUp::Transient {
                attempts,
                elapsed,
                reason,
            });
        }
        if let Some(patience) = &patience {
            patience.because(reason.clone());
        }
        metrics::RETRIES.with_label_values(&[request.kind]).inc();
        let (kind, key) = (request.kind, request.key);
        let request_id = request_id.unwrap_or_default();
        tracing::warn!(
            kind,
            key,
            request_id,
            attempts,
            "trying again in {pause:?}: {reason}"
        );
        until_interrupted(tokio::time::sleep(pause), patience.as_deref()).await?;
    }
    unreachable!("the policy ends the loop")
}

async fn until_interrupted<T>(
    work: impl Future<Output = T>,
    patience: Option<&Patience>,
) -> Result<T, GaveUp> {
    let Some(patience) = patience else {
        return Ok(work.await);
    };
    tokio::select! {
        // An answer that has come counts.
        biased;
        done = work => Ok(done),
        () = patience.interrupted() => Err(GaveUp::Interrupted),
    }
}
