//! Telling a process from a later one with the same number: numbers come around after
//! minutes on a busy machine.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Time since the machine started, sleep included.
pub(crate) fn now() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).expect("time since the start is not negative");
    let nanos = u32::try_from(now.tv_nsec).expect("less than a second");
    Duration::new(seconds, nanos)
}

/// When a process or thread started, in time since the machine did, rounded down to clock
/// ticks (10 ms). `None` when it is gone, or in another pid namespace.
pub(crate) fn started(id: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // Field 22 of proc_pid_stat(5). The second, the name, may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks: u64 = rest.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_millis(ticks * 1000 / per_second))
}
