//! The lock of a data directory: flock(2), so that the kernel releases it however
//! its owner dies. The file's text only says who the owner is, for messages.

use super::{DataDir, DataDirError, failed};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Who owns a data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub pid: u32,
    /// Where it mounts; a node without a mount does not.
    pub mountpoint: Option<PathBuf>,
}

impl Owner {
    /// Whether it was killed. A thread of it may be in the kernel still, and with it
    /// everything that it had.
    pub(crate) fn is_killed(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid));
        // Field 3 of proc_pid_stat(5), behind the name, which may hold anything.
        let state = stat.as_deref().ok().and_then(|stat| stat.rsplit_once(") "));
        state.is_some_and(|(_, state)| state.starts_with('Z'))
    }
}

/// Ownership of a data directory until it is dropped, or the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// A daemon that was just told to leave may need a moment to be gone; and
/// [`Lock::wait_until_free`] holds a shared lock for an instant.
const LIMIT: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(20);

impl Lock {
    /// Locks the directory and writes down who we are.
    pub(super) fn take(dir: &DataDir, mountpoint: Option<&Path>) -> Result<Self, DataDirError> {
        let path = dir.path().join("lock");
        let context = || format!("locking {}", path.display());
        let mut file = open(&path).map_err(failed(context))?;
        if !within(LIMIT, || granted(file.try_lock())).map_err(failed(context))? {
            return Err(DataDirError::InUse {
                path: dir.path().into(),
                owner: describe(dir),
            });
        }
        let owner = Owner {
            pid: std::process::id(),
            mountpoint: mountpoint.map(Path::to_owned),
        };
        write_owner(&mut file, &owner).map_err(failed(context))?;
        Ok(Self { _file: file })
    }

    /// Who last owned the directory, as far as the lock file tells.
    pub(crate) fn last_owner(dir: &DataDir) -> Option<Owner> {
        serde_json::from_slice(&std::fs::read(dir.path().join("lock")).ok()?).ok()
    }

    /// Waits until no daemon owns the directory; false if one still does after that long.
    pub(crate) fn wait_until_free(dir: &DataDir, limit: Duration) -> std::io::Result<bool> {
        let file = match File::open(dir.path().join("lock")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
            other => other?,
        };
        within(limit, || granted(file.try_lock_shared()))
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
}

fn granted(attempt: Result<(), TryLockError>) -> std::io::Result<bool> {
    match attempt {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn within(
    limit: Duration,
    mut attempt: impl FnMut() -> std::io::Result<bool>,
) -> std::io::Result<bool> {
    let deadline = Instant::now() + limit;
    loop {
        if attempt()? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(POLL);
    }
}

fn write_owner(file: &mut File, owner: &Owner) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    let mut line = serde_json::to_vec(owner)?;
    line.push(b'\n');
    file.write_all(&line)
}

fn describe(dir: &DataDir) -> String {
    let Some(Owner { pid, mountpoint }) = Lock::last_owner(dir) else {
        return "another process".to_owned();
    };
    match mountpoint {
        Some(mountpoint) => format!("pid {pid}, mounted at {}", mountpoint.display()),
        None => format!("pid {pid}, a node of a cluster"),
    }
}
