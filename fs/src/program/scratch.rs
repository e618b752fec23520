//! Directories in `TMPDIR` that a program of another user's may pass, unlike the data directory.
//!
//! Each is locked by flock(2) for as long as this process needs it. What a process left that was killed has no
//! lock, and goes when the next process makes its first.
#![expect(
    clippy::disallowed_methods,
    reason = "only this process's user can rename or replace what is in it: TMPDIR is sticky"
)]

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::process::geteuid;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Once;
use tempfile::TempDir;

const PREFIX: &str = "gitmoor-scratch-";

/// An empty directory that every user may look into, and that is removed at the end.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
    _locked: File,
}

impl Scratch {
    /// A new one.
    pub fn new() -> io::Result<Self> {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| sweep(&std::env::temp_dir()));
        loop {
            let dir = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
            // A sweep that was faster than the lock has removed it.
            if let Some(locked) = lock(dir.path())? {
                // Whatever this process's umask says.
                fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
                return Ok(Self {
                    dir,
                    _locked: locked,
                });
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// The directory, if it is this user's, there is no link in its place, and nobody needs it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(dir) => File::from(dir),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    if dir.metadata()?.uid() != geteuid().as_raw() {
        return Ok(None);
    }
    match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // Another sweep may have removed it between the opening and the lock.
    let is_there = dir.metadata()?.nlink() > 0;
    Ok(is_there.then_some(dir))
}

/// Removes what processes of this user left that were killed.
fn sweep(tmp: &Path) {
    let entries = fs::read_dir(tmp).into_iter().flatten().flatten();
    for entry in entries {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let path = entry.path();
        let removed = match lock(&path) {
            Ok(Some(_locked)) => fs::remove_dir_all(&path),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::warn!(dir = %path.display(), %error, "was left by a process that was killed, and cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PREFIX, Scratch, lock, sweep};
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_a_killed_process_left_goes_and_nothing_else() {
        let tmp = tempfile::tempdir().expect("a directory");
        let name = |name: &str| tmp.path().join(format!("{PREFIX}{name}"));
        for dir in ["left", "needed"] {
            fs::create_dir_all(name(dir).join("objects/info")).expect("a directory");
        }
        fs::create_dir_all(tmp.path().join("others/files")).expect("a directory");
        symlink(tmp.path().join("others"), name("link")).expect("a link");
        fs::write(name("file"), b"").expect("a file");
        let needed = lock(&name("needed")).expect("can be locked");
        assert!(needed.is_some());

        sweep(tmp.path());
        let mut left: Vec<_> = fs::read_dir(tmp.path())
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        left.sort_unstable();
        let names = ["file", "link", "needed"].map(|name| format!("{PREFIX}{name}"));
        assert_eq!(left, [&names[0], &names[1], &names[2], "others"]);
        assert!(tmp.path().join("others/files").is_dir());

        drop(needed);
        sweep(tmp.path());
        assert!(!name("needed").exists());
    }

    #[test]
    fn it_is_locked_while_it_is_needed() {
        let scratch = Scratch::new().expect("a directory");
        let path = scratch.path().to_owned();
        assert!(lock(&path).expect("can be looked at").is_none());
        drop(scratch);
        assert!(!path.exists());
    }
}
