//! A limit on the bytes that go to S3 in a second, and one on those that come from there. All stores of a process share
//! both.
//!
//! A request may go when those before it are paid for; each costs its bytes divided by the limit, from the moment it
//! goes. So a request of any size goes at once on an idle line, and the next one waits for it: over any time the line
//! carries what the limit allows for that time, and one request of each class more.
//!
//! There are two classes. What a process on the mount waits for is urgent: an urgent request waits for urgent ones alone.
//! A job (gc, import, warm, the idle publisher) waits until all are paid for. Waiting here is not standing still, so that
//! no wait of INV-8 ends by it.

use super::metrics;
use super::retry::Request;
use crate::wait::WaitBudget;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest sleep before a request asks again: another one may have gone meanwhile.
const LONGEST: Duration = Duration::from_secs(1);

/// The limits of a process; those of its clones too. The default has none.
#[derive(Clone, Default, Debug)]
pub struct Bandwidth {
    up: Option<Arc<Line>>,
    down: Option<Arc<Line>>,
}

impl Bandwidth {
    /// Bytes a second, not 0; `None` is no limit.
    pub fn new(up: Option<u64>, down: Option<u64>) -> Self {
        let line = |limit: u64| Arc::new(Line::new(limit, Instant::now()));
        Self {
            up: up.map(line),
            down: down.map(line),
        }
    }

    /// Bytes a second, up and down.
    pub fn limits(&self) -> (Option<u64>, Option<u64>) {
        let limit = |line: &Option<Arc<Line>>| line.as_ref().map(|line| line.limit);
        (limit(&self.up), limit(&self.down))
    }

    /// Returns when a request may go; somebody waits with this budget.
    pub(super) async fn admit(&self, request: Request<'_>, budget: Option<&WaitBudget>) {
        let (direction, line) = match request.kind {
            "PUT" | "PART" => ("up", &self.up),
            "GET" => ("down", &self.down),
            // They move no bytes to speak of. What is copied stays with the server.
            _ => return,
        };
        let Some(line) = line else { return };
        let class = match budget.and_then(WaitBudget::caller) {
            Some(_) => Class::Urgent,
            None => Class::Job,
        };
        let begin = Instant::now();
        while let Err(pause) = line.ask(request.bytes, class, Instant::now()) {
            if let Some(budget) = budget {
                budget.set_reason(format!(
                    "its turn: {} bytes a second go {direction}",
                    line.limit
                ));
                budget.restart();
            }
            tokio::time::sleep(pause.min(LONGEST)).await;
        }
        if let Some(budget) = budget {
            budget.restart();
        }
        metrics::THROTTLED
            .with_label_values(&[direction])
            .inc_by(begin.elapsed().as_secs_f64());
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Urgent,
    Job,
}

/// One direction.
#[derive(Debug)]
struct Line {
    /// Bytes a second.
    limit: u64,
    paid: Mutex<Paid>,
}

/// Until when what has gone is paid for.
#[derive(Debug)]
struct Paid {
    urgent: Instant,
    all: Instant,
}

impl Line {
    fn new(limit: u64, now: Instant) -> Self {
        let paid = Mutex::new(Paid {
            urgent: now,
            all: now,
        });
        Self { limit, paid }
    }

    /// Lets a request of so many bytes go, or says when it may ask again.
    fn ask(&self, bytes: u64, class: Class, now: Instant) -> Result<(), Duration> {
        let mut paid = self.paid.lock();
        let free = match class {
            Class::Urgent => paid.urgent,
            Class::Job => paid.all,
        };
        let pause = free.saturating_duration_since(now);
        if !pause.is_zero() {
            return Err(pause);
        }
        let cost = Duration::from_secs_f64(bytes as f64 / self.limit as f64);
        if class == Class::Urgent {
            paid.urgent = now + cost;
        }
        paid.all = paid.all.max(now) + cost;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KB: u64 = 1000;

    fn seconds(line: &Line, bytes: u64, class: Class, at: Instant) -> Option<u64> {
        line.ask(bytes, class, at)
            .err()
            .map(|pause| pause.as_secs())
    }

    #[test]
    fn the_next_request_waits_for_what_the_last_one_costs() {
        let now = Instant::now();
        let line = Line::new(KB, now);
        assert_eq!(seconds(&line, 5 * KB, Class::Job, now), None);
        assert_eq!(seconds(&line, 1, Class::Job, now), Some(5));
        let later = now + Duration::from_secs(5);
        assert_eq!(seconds(&line, 1, Class::Job, later), None);
    }

    #[test]
    fn an_idle_line_saves_nothing_up() {
        let now = Instant::now();
        let line = Line::new(KB, now);
        let later = now + Duration::from_secs(100);
        assert_eq!(seconds(&line, 5 * KB, Class::Job, later), None);
        assert_eq!(seconds(&line, 1, Class::Job, later), Some(5));
    }

    #[test]
    fn what_git_waits_for_goes_before_jobs_and_is_paid_for_by_them() {
        let now = Instant::now();
        let line = Line::new(KB, now);
        assert_eq!(seconds(&line, 10 * KB, Class::Job, now), None);
        assert_eq!(seconds(&line, 2 * KB, Class::Urgent, now), None);
        assert_eq!(seconds(&line, 1, Class::Urgent, now), Some(2));
        assert_eq!(seconds(&line, 1, Class::Job, now), Some(12));
    }

    /// Whatever is asked: no more goes in a time than the limit allows, and one request of each class.
    #[test]
    fn the_limit_holds_over_any_time() {
        let begin = Instant::now();
        let line = Line::new(KB, begin);
        let mut gone = 0;
        for step in 0..2000_u64 {
            let now = begin + Duration::from_millis(step * 10);
            let class = match step % 3 {
                0 => Class::Urgent,
                _ => Class::Job,
            };
            let bytes = 1 + step * 7919 % (2 * KB);
            if line.ask(bytes, class, now).is_ok() {
                gone += bytes;
            }
            let allowed = step * KB / 100 + 2 * 2 * KB;
            assert!(
                gone <= allowed,
                "{gone} bytes of {allowed} after {step} steps"
            );
        }
        assert!(
            gone >= 18 * KB,
            "the line is used: {gone} bytes in 20 seconds"
        );
    }
}
