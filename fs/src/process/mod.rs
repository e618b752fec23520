//! Telling a process from a later one with the same number: numbers come around after
//! minutes on a busy machine.
#![expect(clippy::disallowed_methods, reason = "/proc is the kernel's")]

mod descriptors;
mod handle;
mod known;
pub(crate) mod lineage;
mod memory;
mod origin;

pub(crate) use descriptors::{Device, has_open};
pub(crate) use handle::Handle;
pub(crate) use known::Processes;
pub(crate) use origin::Origins;
pub use origin::SERVED;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open, test_kill_process};
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
    Some(Stat::of(id)?.started)
}

/// The process that a thread belongs to; itself when that cannot be told.
pub(crate) fn of_thread(tid: u32) -> u32 {
    // A pidfd is for processes only, and much cheaper to ask for than /proc.
    let is_process = pid(tid).is_none_or(|pid| pidfd_open(pid, PidfdFlags::empty()).is_ok());
    if is_process {
        return tid;
    }
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    line.and_then(|pid| pid.trim().parse().ok()).unwrap_or(tid)
}

/// Whether a process that was there at some time has ended. In doubt it has not.
pub(crate) fn has_ended(id: u32, since: Duration) -> bool {
    let Some(pid) = pid(id) else {
        return false;
    };
    // Not by /proc, where those of other users may be hidden.
    if test_kill_process(pid) == Err(Errno::SRCH) {
        return true;
    }
    Stat::of(id).is_some_and(|stat| stat.started > since || stat.is_dead())
}

/// Whether a process is another or was started by it, also through others that still run.
pub(crate) fn descends_from(mut id: u32, ancestor: u32) -> bool {
    while id != ancestor {
        match Stat::of(id) {
            Some(stat) if stat.parent != 0 => id = stat.parent,
            Some(_) | None => return false,
        }
    }
    true
}

/// `None` for 0: whoever is in another pid namespace.
fn pid(id: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(id).ok()?)
}

/// Of proc_pid_stat(5).
struct Stat {
    state: u8,
    parent: u32,
    threads: u64,
    started: Duration,
}

impl Stat {
    fn of(id: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The second field, the name, may hold anything.
        let (_, rest) = stat.rsplit_once(')')?;
        // From the third on.
        let fields: Vec<_> = rest.split_ascii_whitespace().collect();
        let ticks: u64 = fields.get(19)?.parse().ok()?;
        let per_second = rustix::param::clock_ticks_per_second();
        Some(Self {
            state: *fields.first()?.as_bytes().first()?,
            parent: fields.get(1)?.parse().ok()?,
            threads: fields.get(17)?.parse().ok()?,
            started: Duration::from_millis(ticks * 1000 / per_second),
        })
    }

    /// A process whose parent did not ask for it yet. Its first thread may end before others.
    fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X') && self.threads <= 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Stdio};

    fn child() -> Child {
        let mut command = crate::program::of_the_system("cat");
        command.stdin(Stdio::piped()).spawn().expect("cat")
    }

    /// A bounded wait for what the kernel does by itself.
    fn until(what: impl Fn() -> bool) {
        for _ in 0..1000 {
            if what() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("not within 10 s");
    }

    #[test]
    fn a_process_has_ended_also_while_its_parent_does_not_ask() {
        let mut child = child();
        let id = child.id();
        assert!(!has_ended(id, now()));
        drop(child.stdin.take());
        until(|| has_ended(id, now()));
        assert!(started(id).is_some(), "a zombie");
        child.wait().expect("it ended");
        assert!(has_ended(id, now()), "and when it is gone");
    }

    #[test]
    fn a_number_used_again_is_not_the_process_of_before() {
        let mut child = child();
        let before = started(child.id()).expect("it runs") - Duration::from_millis(1);
        assert!(has_ended(child.id(), before));
        drop(child.stdin.take());
        child.wait().expect("it ends");
    }

    #[test]
    fn who_is_in_another_namespace_has_not_ended() {
        assert!(!has_ended(0, now()));
        assert_eq!(of_thread(0), 0);
    }

    #[test]
    fn a_thread_is_its_process() {
        let me = std::process::id();
        assert_eq!(of_thread(me), me);
        let thread = std::thread::spawn(|| {
            let tid = rustix::thread::gettid().as_raw_nonzero().get();
            of_thread(u32::try_from(tid).expect("positive"))
        });
        assert_eq!(thread.join().expect("no panic"), me);
    }

    #[test]
    fn descent() {
        let mut child = child();
        let me = std::process::id();
        assert!(descends_from(child.id(), me) && descends_from(me, me));
        assert!(!descends_from(me, child.id()));
        drop(child.stdin.take());
        child.wait().expect("it ends");
        assert!(!descends_from(child.id(), me), "gone");
    }

    #[test]
    fn names_of_processes_may_hold_anything() {
        let stat = "7 (a) Z b) S 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 3 0 100 0 0";
        let stat = Stat::parse(stat).expect("well formed");
        assert_eq!((stat.state, stat.threads), (b'S', 3));
        assert!(stat.started > Duration::ZERO);
        assert!(Stat::parse("7 (a").is_none());
    }
}
