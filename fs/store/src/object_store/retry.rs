//! Retrying, once for every request: exponential backoff with full jitter, a
//! bound on each try and on all of them, and a warning for each.

use super::bandwidth::Bandwidth;
use super::metrics;
use super::pace::Pace;
use crate::wait::{self, WaitBudget};
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

    /// The longest pause after so many failed tries, at least one.
    fn ceiling(&self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(16);
        self.base.saturating_mul(1 << doublings).min(MAX_PAUSE)
    }

    /// How long to pause after so many failed tries in this time before the next one;
    /// `None` when there is none. `luck`, evenly from 0 to 1, is the part of the
    /// longest pause to take: mounts that failed together do not come back together.
    pub fn pause(&self, attempts: u32, elapsed: Duration, luck: f64) -> Option<Duration> {
        let pause = self.ceiling(attempts).mul_f64(luck);
        let in_time = elapsed.saturating_add(pause) <= self.cap;
        (attempts <= self.retries && in_time).then_some(pause)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// Such as `GET`.
    pub(super) kind: &'static str,
    pub(super) key: &'a str,
    /// Bytes that go over the wire.
    pub(super) bytes: u64,
}

impl<'a> Request<'a> {
    pub(super) fn new(kind: &'static str, key: &'a str, bytes: u64) -> Self {
        Self { kind, key, bytes }
    }
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
    /// It goes better when less is asked; otherwise like [`Failure::Transient`].
    SlowDown {
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
        attempts: u32,
        elapsed: Duration,
        reason: String,
    },
    /// At once; never [`Failure::Transient`] or [`Failure::SlowDown`].
    AtOnce(Failure),
    /// The process that waits for it is ending.
    Interrupted,
}

/// Tries requests to one store.
pub(super) struct Tries {
    /// For how long each.
    policy: RetryPolicy,
    pace: Pace,
    bandwidth: Bandwidth,
}

impl Tries {
    pub(super) fn new(policy: RetryPolicy, bandwidth: Bandwidth) -> Self {
        let pace = Pace::new(policy.base / 5);
        Self {
            policy,
            pace,
            bandwidth,
        }
    }

    /// Runs `attempt` until it succeeds, fails for good, or the policy or the budget
    /// of the wait that this thread is in is exhausted.
    pub(super) async fn run<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        request: Request<'_>,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, GaveUp> {
        let begin = Instant::now();
        let budget = wait::current();
        let left = || budget.as_ref().map_or(Duration::MAX, |p| p.left());
        for attempts in 1.. {
            let admitted = self.bandwidth.admit(request, budget.as_deref());
            until_interrupted(admitted, budget.as_deref()).await?;
            let limit = self.policy.attempt_for(request.bytes, left());
            let tried = self.once(limit, &mut attempt);
            let failure = match until_interrupted(tried, budget.as_deref()).await? {
                Ok(value) => {
                    budget.inspect(|budget| budget.progressed());
                    return Ok(value);
                }
                Err(failure) => failure,
            };
            let (reason, request_id) = match failure {
                Failure::Transient { reason, request_id }
                | Failure::SlowDown { reason, request_id } => (reason, request_id),
                Failure::NotFound
                | Failure::Exists
                | Failure::NotImplemented
                | Failure::Refused { .. }
                | Failure::Local(_) => return Err(GaveUp::AtOnce(failure)),
            };
            let reason = match request_id {
                Some(id) => format!("{reason} (request {id})"),
                None => reason,
            };
            let elapsed = begin.elapsed();
            let luck = rand::rng().random_range(0.0..=1.0);
            let pause = self.policy.pause(attempts, elapsed, luck);
            let Some(pause) = pause.filter(|pause| *pause < left()) else {
                return Err(GaveUp::Transient {
                    attempts,
                    elapsed,
                    reason,
                });
            };
            metrics::RETRIES.with_label_values(&[request.kind]).inc();
            let (kind, key) = (request.kind, request.key);
            tracing::warn!(kind, key, attempts, "trying again in {pause:?}: {reason}");
            if let Some(budget) = &budget {
                budget.set_reason(reason);
            }
            until_interrupted(tokio::time::sleep(pause), budget.as_deref()).await?;
        }
        unreachable!("the policy ends the loop")
    }

    /// One try at the store's pace, of at most `limit` once it has begun.
    async fn once<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        limit: Duration,
        attempt: &mut impl FnMut() -> F,
    ) -> Result<T, Failure> {
        let pause = self.pace.pause();
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let result = match tokio::time::timeout(limit, attempt()).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Transient {
                reason: format!("no complete answer within {limit:?}"),
                request_id: None,
            }),
        };
        match &result {
            Ok(_) => self.pace.faster(),
            Err(Failure::SlowDown { .. }) => self.pace.slower(),
            Err(_) => {}
        }
        result
    }
}

async fn until_interrupted<T>(
    work: impl Future<Output = T>,
    budget: Option<&WaitBudget>,
) -> Result<T, GaveUp> {
    let Some(budget) = budget else {
        return Ok(work.await);
    };
    tokio::select! {
        // An answer that has come counts.
        biased;
        done = work => Ok(done),
        () = budget.interrupted() => Err(GaveUp::Interrupted),
    }
}
