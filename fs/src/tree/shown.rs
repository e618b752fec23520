//! What a mount shows of owners and permission bits, in place of what they are.

use super::{Process, Stat};
use crate::error::{FsError, FsResult};
use crate::repository::context::Shown;
use crate::repository::local::Owner;
use crate::repository::{Caller, NewAttributes, Repository};
use gitmoor_model::room::Type;

impl Shown {
    /// What stat(2) says. The bits of a symbolic link mean nothing, and are all set everywhere.
    pub(super) fn of(&self, stat: Stat) -> Stat {
        let mode = match stat.kind {
            Type::Symlink => stat.mode,
            Type::File | Type::Directory | Type::Fifo | Type::Socket => stat.mode & !self.umask,
        };
        Stat {
            mode,
            uid: self.uid.unwrap_or(stat.uid),
            gid: self.gid.unwrap_or(stat.gid),
            ..stat
        }
    }

    /// Whose a new file is on the disk: theirs to whom the mount shows it, as far as this
    /// process may give files away. If not it stays ours, and is shown as theirs all the same.
    pub(super) fn owner_of_new(&self, process: Process) -> Owner {
        let ours = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let given = |id: Option<u32>, caller: u32, ours: u32| match id {
            Some(_) if !rustix::process::geteuid().is_root() => ours,
            Some(id) => id,
            None => caller,
        };
        Owner {
            uid: given(self.uid, process.uid, ours.0),
            gid: given(self.gid, process.gid, ours.1),
        }
    }

    /// chown(2) where the mount says who owns: only to whom that is, which changes nothing.
    pub(super) fn permitted(&self, new: &NewAttributes) -> FsResult<NewAttributes> {
        let left = |new: Option<u32>, shown: Option<u32>| match (new, shown) {
            (Some(new), Some(shown)) if new != shown => Err(FsError::NotHere(
                "this mount was told who owns everything (--uid, --gid)",
            )),
            (_, Some(_)) => Ok(None),
            (new, None) => Ok(new),
        };
        Ok(NewAttributes {
            uid: left(new.uid, self.uid)?,
            gid: left(new.gid, self.gid)?,
            ..*new
        })
    }
}

pub(super) fn caller(shown: &Shown, repo: &Repository, process: Process) -> Caller {
    Caller {
        uid: process.uid,
        owner: shown.owner_of_new(process),
        read: repo.transactions().read_version(process.tid),
    }
}
