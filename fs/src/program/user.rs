//! A user with whose rights something is done: the owner of a repository, when root works on it.
#![expect(
    clippy::disallowed_methods,
    reason = "it asks what a user may read, with the rights of that user"
)]

use super::regular;
use nix::unistd::getgrouplist;
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What the system calls `nogroup`.
const NO_GROUP: u32 = 65_534;

/// With all groups that the system's tables say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl User {
    /// The owner of a file, followed if it is a link; `None` when that user has no less than this process has, which is not root's or which
    /// the file belongs to.
    pub fn owning(path: &Path) -> io::Result<Option<Self>> {
        Ok(Self::with_less(fs::metadata(path)?.uid()))
    }

    /// The same of a symbolic link itself; `None` where there is none.
    pub fn owning_link(path: &Path) -> Option<Self> {
        let link = fs::symlink_metadata(path).ok()?;
        Self::with_less(link.uid()).filter(|_| link.is_symlink())
    }

    /// The user of this number; `None` when that user has no less than this process has.
    pub fn numbered(uid: u32) -> Option<Self> {
        Self::with_less(uid)
    }

    fn with_less(uid: u32) -> Option<Self> {
        if uid == 0 || !rustix::process::geteuid().is_root() {
            return None;
        }
        let known = nix::unistd::User::from_uid(uid.into()).ok().flatten();
        let Some(known) = known else {
            return Some(Self {
                uid: Uid::from_raw(uid),
                gid: Gid::from_raw(NO_GROUP),
                groups: Vec::new(),
            });
        };
        let name = CString::new(known.name).ok();
        let groups = name.and_then(|name| getgrouplist(&name, known.gid).ok());
        let groups = groups.unwrap_or_else(|| vec![known.gid]).into_iter();
        Some(Self {
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(known.gid.as_raw()),
            groups: groups.map(|group| Gid::from_raw(group.as_raw())).collect(),
        })
    }

    /// The user id, for messages.
    pub fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// Does something on this thread with this user's rights.
    pub fn act<T>(&self, act: impl FnOnce() -> T) -> io::Result<T> {
        let _acting = Acting::begin(self)?;
        Ok(act())
    }

    /// Whether this user may read what is there, and get to it. On a mount of one user's nobody else may.
    pub fn may_read(&self, path: &Path) -> bool {
        let read = || match fs::metadata(path)?.is_dir() {
            true => fs::read_dir(path).map(drop),
            false => regular(path).map(drop),
        };
        self.act(read).flatten().is_ok()
    }

    /// For the rest of this process, which has one thread. No process of the user's may look into it, as it could by `/proc` if the
    /// groups were the same (ptrace(2), access mode checks).
    pub(super) fn become_it(&self) -> io::Result<()> {
        set_thread_groups(&self.groups)?;
        let gid = Gid::from_raw(NO_GROUP);
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(self.uid, self.uid, self.uid)?;
        Ok(())
    }
}

/// This thread has a user's rights until this is dropped. The system calls are raw ones, which leave other threads alone.
struct Acting {
    gid: Gid,
    groups: Vec<Gid>,
}

impl Acting {
    fn begin(user: &User) -> io::Result<Self> {
        let acting = Self {
            gid: rustix::process::getegid(),
            groups: rustix::process::getgroups()?,
        };
        // From here on all is given back, whatever of it was taken.
        set_thread_groups(&user.groups)?;
        set_thread_res_gid(None, user.gid, None)?;
        set_thread_res_uid(None, user.uid, None)?;
        Ok(acting)
    }

    fn give_back(&self) -> rustix::io::Result<()> {
        set_thread_res_uid(None, Uid::ROOT, None)?;
        set_thread_res_gid(None, self.gid, None)?;
        set_thread_groups(&self.groups)
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        if let Err(error) = self.give_back() {
            // Nobody may go on with the rights of another.
            tracing::error!(%error, "this thread cannot become root's again");
            std::process::abort();
        }
    }
}
