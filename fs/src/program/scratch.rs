//! Directories in `TMPDIR` that a program of another user's may pass, unlike the data directory.
//!
//! Each is locked by flock(2) for as long as this process needs it. What a process left that was killed has no
//! lock, and goes when the next process makes its first.
#![expect(
    clippy::disallowed_methods,
    reason = "only this process's user can rename or replace what is in it: TMPDIR is sticky"
)]

use super::User;
use rustix::fs::{FlockOperation, Mode, OFlags, XattrFlags, flock, fsetxattr};
use rustix::process::geteuid;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Once;
use tempfile::TempDir;

const PREFIX: &str = "gitmoor-scratch-";

/// An empty directory that is removed at the end.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
    /// For as long as this process needs it.
    locked: File,
}

impl Scratch {
    /// One that every user may look into.
    pub fn new() -> io::Result<Self> {
        let scratch = Self::private()?;
        // Whatever this process's umask says.
        fs::set_permissions(scratch.path(), Permissions::from_mode(0o755))?;
        Ok(scratch)
    }

    /// One that, besides this process's user, only this one may look into.
    pub(super) fn shown_to(user: Option<&User>) -> io::Result<Self> {
        let scratch = Self::private()?;
        if let Some(user) = user
            && let Err(error) = let_in(&scratch.locked, user)
        {
            // It stays this process's alone, and so does what would have been that user's work.
            tracing::debug!(dir = %scratch.path().display(), %error, "has no access control list");
        }
        Ok(scratch)
    }

    fn private() -> io::Result<Self> {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(|| sweep(&std::env::temp_dir()));
        loop {
            let dir = tempfile::Builder::new()
                .prefix(PREFIX)
                .permissions(Permissions::from_mode(0o700))
                .tempdir()?;
            // A sweep that was faster than the lock has removed it.
            if let Some(locked) = lock(dir.path())? {
                return Ok(Self { dir, locked });
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// By an access control list, as acl(5) has it in an extended attribute: version 2, then tag, permissions and id of each
/// entry. Another owner, or a group of the user's, could change what is in there, or is others' too.
fn let_in(dir: &File, user: &User) -> io::Result<()> {
    const NOBODY: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 7, NOBODY),
        (0x02, 5, user.uid()),
        (0x04, 0, NOBODY),
        (0x10, 5, NOBODY),
        (0x20, 0, NOBODY),
    ];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    let name = c"system.posix_acl_access";
    Ok(fsetxattr(dir, name, &list, XattrFlags::empty())?)
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
