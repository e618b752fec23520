//! The process that a thread works for, and whether it was told to end.
//!
//! The kernel says so with FUSE_INTERRUPT, which fuser 0.18 refuses (ENOSYS)
//! without passing it on. A process whose request is in the daemon's hands has its
//! signals pending, though, where /proc shows them.
#![expect(clippy::disallowed_methods, reason = "/proc is the kernel's")]

use std::cell::Cell;
use std::io;

thread_local! {
    static CALLER: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Signals that ask a process to end. Others must not count: git's progress
/// display sends itself SIGALRM every second.
const ENDING: u64 = bit(libc::SIGHUP)
    | bit(libc::SIGINT)
    | bit(libc::SIGQUIT)
    | bit(libc::SIGTERM)
    | bit(libc::SIGKILL);

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Runs `work` for a thread of some process, named as FUSE does: 0 when it is in
/// another pid namespace.
pub fn on_behalf_of<T>(tid: u32, work: impl FnOnce() -> T) -> T {
    CALLER.set((tid != 0).then_some(tid));
    let result = work();
    CALLER.set(None);
    result
}

pub(super) fn current() -> Option<u32> {
    CALLER.get()
}

/// Whether a signal that ends it waits for this thread, or it is gone. When
/// /proc does not say, it is not: waiting on is safe.
pub fn is_ending(tid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{tid}/status")) {
        Ok(status) => has_ending_signal(&status),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Reads the masks of proc_pid_status(5): pending for the thread and for its
/// process, blocked, ignored.
fn has_ending_signal(status: &str) -> bool {
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
            .unwrap_or(0)
    };
    let pending = mask("SigPnd:") | mask("ShdPnd:");
    pending & !mask("SigBlk:") & !mask("SigIgn:") & ENDING != 0
}
