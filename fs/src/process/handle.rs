//! A process that is held by a pidfd: no later process with the same number is taken for it.
#![expect(clippy::disallowed_methods, reason = "/proc is the kernel's")]

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal, test_kill_process};
use std::os::fd::OwnedFd;

/// Names of git's programs that change refs. `git-receive-pack` may be a link of its own.
const GIT: [&str; 2] = ["git", "git-receive-pack"];

#[derive(Debug)]
pub(crate) struct Handle {
    pid: u32,
    fd: OwnedFd,
}

impl Handle {
    /// `None` of a process that is gone or in another pid namespace, of a thread beside the first, and of a process
    /// that this daemon may not end.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let process = super::pid(pid)?;
        let fd = pidfd_open(process, PidfdFlags::empty()).ok()?;
        test_kill_process(process).ok()?;
        Some(Self { pid, fd })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it runs git itself, by its program and not by what it calls itself. In doubt it does not.
    pub(crate) fn is_git(&self) -> bool {
        let program = std::fs::read_link(format!("/proc/{}/exe", self.pid));
        let is_git = program.is_ok_and(|program| {
            let name = program.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| GIT.contains(&name))
        });
        // Afterwards: until then the number was its own.
        is_git && !self.has_ended()
    }

    /// Also while its parent has not asked for its end.
    pub(crate) fn has_ended(&self) -> bool {
        let mut ended = [PollFd::new(&self.fd, PollFlags::IN)];
        let polled = poll(&mut ended, Some(&Timespec::default()));
        polled.is_ok_and(|ready| ready > 0)
    }

    /// Ends it before it comes back from the call that it makes.
    pub(crate) fn end(&self) {
        if let Err(error) = pidfd_send_signal(&self.fd, Signal::KILL)
            && !self.has_ended()
        {
            tracing::error!(process = self.pid, %error, "cannot be ended, and may report a change of refs that was not made");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_process_is_held_until_its_end() {
        let mut child = crate::program::of_the_system("sleep");
        let mut child = child.arg("60").spawn().expect("sleep");
        let handle = Handle::of(child.id()).expect("it runs");
        assert!(!handle.has_ended() && !handle.is_git());
        handle.end();
        let status = child.wait().expect("it ends");
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        assert!(handle.has_ended());
        assert!(Handle::of(child.id()).is_none(), "gone");
        assert!(Handle::of(0).is_none(), "in another pid namespace");
    }
}
