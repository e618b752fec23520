//! Runs stock git on our own mount, from a thread of the daemon that serves it.

use rustix::fs::Mode;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// The umask that this process was started with, for a git that works for a user. What the daemon makes for itself is
/// nobody else's; what it makes for a caller has the mode that the kernel sent, to which the caller's umask is applied already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Umask(Mode);

impl Umask {
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
    #[error("git cannot be run ({0}); is it installed?")]
    Run(io::Error),
    /// It said no.
    #[error("git init: {0}")]
    Failed(String),
    /// It hung.
    #[error("git init did not end within {PATIENCE:?}")]
    Timeout,
}

/// `git init` takes a few raft commits; longer than this means that something hangs.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

/// `git init --bare` with these options. Without a template: sample hooks would only
/// ever exist on this machine.
pub(crate) fn init_bare(path: &Path, options: &[String], umask: Umask) -> Result<(), GitError> {
    let mut git = gitmoor_fs::git::command();
    // SAFETY: umask(2) is async-signal-safe and touches nothing of the parent.
    unsafe {
        git.pre_exec(move || {
            rustix::process::umask(umask.0);
            Ok(())
        });
    }
    git.args(["init", "--quiet", "--bare", "--template="])
        .args(options)
        .arg("--")
        .arg(path);
    git.stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = git.spawn().map_err(GitError::Run)?;
    if succeeded(&mut child)? {
        return Ok(());
    }
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut said).map_err(GitError::Run)?;
    }
    Err(GitError::Failed(said.trim().to_owned()))
}

fn succeeded(child: &mut Child) -> Result<bool, GitError> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().map_err(GitError::Run)? {
            return Ok(status.success());
        }
        std::thread::sleep(POLL);
    }
    child.kill().map_err(GitError::Run)?;
    Err(GitError::Timeout)
}
