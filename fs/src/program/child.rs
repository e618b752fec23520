//! What a new process does to itself before it becomes the program.

use super::Stage;
use super::User;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{SysconfVar, sysconf};
use rustix::fs::Mode;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// The least that git gets, however small the machine.
const LEAST_MEMORY: u64 = 1 << 30;

/// Everything is made before the fork: afterwards other threads' locks may be held for ever.
pub(super) struct Before {
    pub(super) ruleset: Option<OwnedFd>,
    pub(super) user: Option<User>,
    pub(super) umask: u32,
    pub(super) memory: u64,
    pub(super) stage: Option<Stage>,
}

impl Before {
    /// System calls alone.
    pub(super) fn apply(&mut self) -> io::Result<()> {
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        setrlimit(Resource::RLIMIT_DATA, self.memory, self.memory)?;
        rustix::process::umask(Mode::from_raw_mode(self.umask));
        if let Some(stage) = &self.stage {
            stage.enter()?;
        }
        if let Some(user) = &self.user {
            user.become_it()?;
        }
        // After the change of user, which forgets it. Of the thread that starts it, which waits for it.
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        match &self.ruleset {
            Some(ruleset) => restrict(ruleset),
            None => Ok(()),
        }
    }
}

fn restrict(ruleset: &OwnedFd) -> io::Result<()> {
    nix::sys::prctl::set_no_new_privs()?;
    // SAFETY: the call takes a descriptor, which is open, and flags, of which there are none; it reads no memory.
    let done = unsafe {
        libc::syscall(
            libc::SYS_landlock_restrict_self,
            ruleset.as_raw_fd(),
            0 as libc::c_uint,
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Three quarters of the machine's: packs that are mapped do not count.
pub(super) fn memory() -> u64 {
    let number = |var| sysconf(var).ok().flatten().unwrap_or_default() as u64;
    let all = number(SysconfVar::_PHYS_PAGES).saturating_mul(number(SysconfVar::PAGE_SIZE));
    (all / 4 * 3).max(LEAST_MEMORY)
}
