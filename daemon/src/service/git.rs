//! Runs stock git on our own mount, from a thread of the daemon that serves it.

use gitmoor_fs::program::{Program, ProgramError, Settings};
use rustix::fs::Mode;
use std::path::Path;
use std::time::{Duration, Instant};

/// The umask that this process was started with, for a git that works for a user. What the daemon makes for itself is
/// nobody else's; what it makes for a caller has the mode that the kernel sent, to which the caller's umask is applied already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InheritedUmask(Mode);

impl InheritedUmask {
    /// As umask(2) has it.
    pub(super) fn bits(self) -> u32 {
        self.0.as_raw_mode()
    }

    /// Of this process, which from now on makes everything for its own user alone. To be called before other threads
    /// create files.
    pub(super) fn replace() -> Self {
        Self(rustix::process::umask(Mode::RWXG | Mode::RWXO))
    }
}

/// git could not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    /// It is not installed, or cannot be started.
    #[error("git init {0}; is git installed?")]
    Run(ProgramError),
    #[error("git init: {0}")]
    Failed(String),
    #[error("git init did not end within {TIMEOUT:?}")]
    Timeout,
}

/// `git init` takes a few raft commits; longer than this means that something hangs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// `git init --bare` with these options, below a mount. Without a template: sample hooks would only
/// ever exist on this machine.
pub(crate) fn init_bare(
    mounted: &Path,
    path: &Path,
    options: &[String],
    umask: InheritedUmask,
) -> Result<(), GitError> {
    let step = ["init", "--quiet", "--bare", "--template="];
    let git = Program::git_with(Settings::Administrators, &step).args(options);
    let git = git.args([Path::new("--"), path]);
    let git = git.writes(mounted).umask(umask.0.as_raw_mode());
    let deadline = Instant::now() + TIMEOUT;
    let said = git.ask(b"", &|| Instant::now() > deadline);
    let said = said.map_err(|error| match error {
        ProgramError::Interrupted => GitError::Timeout,
        other => GitError::Run(other),
    })?;
    match said.status.success() {
        true => Ok(()),
        false => Err(GitError::Failed(said.words())),
    }
}
