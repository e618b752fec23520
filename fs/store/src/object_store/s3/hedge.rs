//! Asking twice when an answer is unusually slow: one in a hundred answers of an
//! object store takes many times as long as the rest, and a second request for the
//! same bytes is then almost always faster.

use crate::object_store::metrics;
use futures::future::{Either, select};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::pin::pin;
use std::time::{Duration, Instant};

/// Answers that are remembered.
const REMEMBERED: usize = 512;

/// Fewer say nothing about the slowest of a hundred.
const ENOUGH: usize = 100;

/// A store so near that its slowest answers come within this gains nothing.
const SHORTEST: Duration = Duration::from_millis(20);

/// How long the first bytes of the last answers took.
#[derive(Default)]
pub(super) struct Hedge {
    times: Mutex<VecDeque<Duration>>,
}

impl Hedge {
    /// Runs `ask`, and a second time beside the first when that takes longer than
    /// 99 of 100 did; answers what comes first, an error only when both fail.
    pub(super) async fn run<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        ask: impl Fn() -> F,
    ) -> Result<T, E> {
        let begin = Instant::now();
        let answer = match self.delay() {
            None => ask().await,
            Some(delay) => twice(ask, delay).await,
        };
        if answer.is_ok() {
            self.remember(begin.elapsed());
        }
        answer
    }

    fn remember(&self, time: Duration) {
        let mut times = self.times.lock();
        if times.len() == REMEMBERED {
            times.pop_front();
        }
        times.push_back(time);
    }

    /// What 99 of 100 answers stay below; `None` while too few are known.
    fn delay(&self) -> Option<Duration> {
        let mut times: Vec<_> = self.times.lock().iter().copied().collect();
        if times.len() < ENOUGH {
            return None;
        }
        let nth = times.len() * 99 / 100;
        Some((*times.select_nth_unstable(nth).1).max(SHORTEST))
    }
}

async fn twice<T, E, F: Future<Output = Result<T, E>>>(
    ask: impl Fn() -> F,
    delay: Duration,
) -> Result<T, E> {
    let mut first = pin!(ask());
    if let Ok(answer) = tokio::time::timeout(delay, &mut first).await {
        return answer;
    }
    metrics::HEDGES.inc();
    match select(first, pin!(ask())).await {
        Either::Left((Err(_), second)) => second.await,
        Either::Right((Err(_), first)) => first.await,
        Either::Left((answer, _)) | Either::Right((answer, _)) => answer,
    }
}
